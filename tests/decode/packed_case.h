// SPDX-License-Identifier: Apache-2.0
// A packed file of one random tensor, in memory, with the weights that it stands for, computed from
// the definitions and not by the code under test. The tests of each code make such cases of it.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/matrix.h"
#include "base/packed/packed_code.h"
#include "base/rng.h"
#include "vq/exports/packed_writer.h"
#include "vq/tensor/transform.h"

namespace vq::test {

enum class Rotation { none, in, both };

/// One tensor of any code, what it stands for, the file that holds it, and what integer products
/// with it promise.
struct PackedCase {
    std::string name;
    PackedTensor tensor;
    std::vector<std::vector<float>> codebooks;  ///< of the first segment's stages
    MatrixD coded;                              ///< W' (padded_rows, padded_cols), with scales
    MatrixD weights;                            ///< W (rows, cols)
    PackedBuffer file;

    /// There is an integer kernel, so that all instruction sets give the same bits.
    bool integer_sums = true;
    /// That kernel rounds codewords to 8 bits.
    bool rounds_codewords = false;
    /// Panels are made of the codes: many vectors add no rounding to that of one.
    bool panels_of_codes = false;
    Index scale_width = 128;  ///< columns whose activations share a scale
    /// What rounding adds to the sums of all rows, squared, on average; x: transformed activations.
    /// Null: it rounds activations, in groups of scale_width.
    double (*rounding)(const PackedCase& c, const VectorD& x) = nullptr;
};

/// The cases of a code.
struct CodeCases {
    const decode::PackedCode* code;
    std::vector<PackedCase> (*awkward)();  ///< every kernel, on shapes that fill nothing
    std::vector<PackedCase> (*small)();  ///< a few bytes, for files whose every field may be a lie
};

struct Shape {
    Index rows, cols;
    Rotation rotation = Rotation::none;
    bool row_scale = true;
    bool column_steps = false;  ///< column scale and permutation
    Index scale_group = 0;      ///< scales a row and group of so many columns
};

inline float normal_half(std::uint64_t seed, std::uint64_t i) {
    return round_to_half(static_cast<float>(random_normal(seed, i)));
}

/// Scales, transform; then W and the file from `coded` (unscaled when called).
inline void finish_case(PackedCase& c, const Shape& shape, std::uint64_t seed) {
    PackedTensor& t = c.tensor;
    t.name = "w";
    t.rows = shape.rows;
    t.cols = shape.cols;
    t.padded_rows = c.coded.rows();
    t.padded_cols = c.coded.cols();
    t.scale_kind = shape.scale_group > 0 ? decode::ScaleKind::group
                   : shape.row_scale     ? decode::ScaleKind::row
                                         : decode::ScaleKind::tensor;
    t.scale_group = shape.scale_group;
    const Index width = shape.scale_group > 0 ? shape.scale_group : t.padded_cols;
    const Index groups = (t.padded_cols + width - 1) / width;
    for (Index r = 0; r < (shape.row_scale ? t.padded_rows * groups : 1); ++r)
        t.scales.push_back(round_to_half(
            static_cast<float>(0.5 + random_uniform(seed + 9, static_cast<std::uint64_t>(r)))));
    for (Index r = 0; r < t.padded_rows; ++r)
        for (Index j = 0; j < t.padded_cols; ++j)
            c.coded(r, j) *=
                static_cast<double>(t.scales[shape.row_scale ? r * groups + j / width : 0]);
    std::vector<TransformStep> steps;
    if (shape.column_steps) {
        TransformStep scale{};
        scale.kind = TransformStep::Kind::column_scale;
        scale.scale.resize(t.cols);
        TransformStep order{};
        order.kind = TransformStep::Kind::permutation;
        for (Index j = 0; j < t.cols; ++j) {
            scale.scale(j) = round_to_half(
                static_cast<float>(0.25 + random_uniform(seed + 8, static_cast<std::uint64_t>(j))));
            order.order.push_back(static_cast<std::uint32_t>((j * 7 + 3) % t.cols));
        }
        if (t.cols % 7 == 0)
            for (Index j = 0; j < t.cols; ++j)
                order.order[j] = static_cast<std::uint32_t>(t.cols - 1 - j);
        t.column_scale.assign(scale.scale.begin(), scale.scale.end());
        t.permutation = order.order;
        steps.push_back(scale);
        steps.push_back(order);
    }
    if (shape.rotation != Rotation::none) {
        t.rotated_in = true;
        t.seed_in = seed + 21;
        TransformStep step{};
        step.kind = TransformStep::Kind::hadamard_in;
        step.seed = t.seed_in;
        steps.push_back(step);
    }
    if (shape.rotation == Rotation::both) {
        t.rotated_out = true;
        t.seed_out = seed + 22;
        TransformStep step{};
        step.kind = TransformStep::Kind::hadamard_out;
        step.seed = t.seed_out;
        steps.push_back(step);
    }
    Matrix w = c.coded.topLeftCorner(t.rows, t.cols).cast<float>();
    Transform(steps).invert(w);
    c.weights = w.cast<double>();
    PackedWriter writer(c.file.sink());
    writer.add_blob("config.json", "{\"model_type\": \"none\"}");
    for (const auto& words : c.codebooks) {
        const Index dim = t.segments.front().record.dim;
        writer.add_codebook(words.data(), static_cast<Index>(words.size()) / dim, dim);
    }
    writer.add_tensor(t);
    writer.finish();
}

/// A segment of stages, all but its codes; stage m has codebook m of the case.
inline PackedSegment stage_segment(const decode::PackedCode& code, Index cols, int dim,
                                   const std::vector<int>& bits) {
    PackedSegment s;
    s.record.code = code.kind;
    s.record.cols = static_cast<std::uint64_t>(cols);
    s.record.dim = static_cast<std::uint32_t>(dim);
    s.record.stages = static_cast<std::uint32_t>(bits.size());
    for (std::size_t m = 0; m < bits.size(); ++m) {
        s.record.stage_bits[m] = static_cast<std::uint32_t>(bits[m]);
        s.record.codebook[m] = static_cast<std::uint32_t>(m);
    }
    return s;
}

/// "lut 33x17 d8 b16"
inline std::string case_name(const decode::PackedCode& code, const Shape& shape,
                             const std::string& more) {
    return std::string(code.name) + " " + std::to_string(shape.rows) + "x" +
           std::to_string(shape.cols) + (more.empty() ? "" : " " + more);
}

/// n rounded up to a multiple of unit.
inline Index round_up(Index n, Index unit) {
    return (n + unit - 1) / unit * unit;
}

/// Sets VQ_ISA while it lives.
class IsaScope {
public:
    explicit IsaScope(const std::string& isa) {
        if (const char* value = std::getenv("VQ_ISA")) before_ = value;
        setenv("VQ_ISA", isa.c_str(), 1);
    }
    ~IsaScope() {
        if (before_.empty())
            unsetenv("VQ_ISA");
        else
            setenv("VQ_ISA", before_.c_str(), 1);
    }
    IsaScope(const IsaScope&) = delete;
    IsaScope& operator=(const IsaScope&) = delete;

private:
    std::string before_;
};

}  // namespace vq::test
