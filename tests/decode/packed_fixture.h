// SPDX-License-Identifier: Apache-2.0
// Packed files of random tensors, in memory, with the weights that they stand for, computed from
// the definitions and not by the code under test.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/matrix.h"
#include "base/rng.h"
#include "codebooks/bytes/byte_pack.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/scalar/grid_pack.h"
#include "decode/vqkit_decode.h"
#include "lattice/e8p/e8p_code.h"
#include "lattice/e8p/e8p_pack.h"
#include "lattice/trellis/trellis_pack.h"
#include "vq/exports/packed_writer.h"
#include "vq/tensor/transform.h"

namespace vq::test {

enum class Rotation { none, in, both };

/// One tensor of any code, what it stands for, and the file that holds it.
struct PackedCase {
    std::string name;
    PackedTensor tensor;
    std::vector<std::vector<float>> codebooks;  ///< of the first segment's stages
    MatrixD coded;                              ///< W' (padded_rows, padded_cols), with scales
    MatrixD weights;                            ///< W (rows, cols)
    PackedBuffer file;
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

/// Stages of a code with random codewords, smaller from stage to stage.
inline void random_codebooks(PackedCase& c, const std::vector<int>& bits, int dim,
                             std::uint64_t seed) {
    for (std::size_t m = 0; m < bits.size(); ++m) {
        std::vector<float> words(static_cast<std::size_t>((Index{1} << bits[m]) * dim));
        for (std::size_t i = 0; i < words.size(); ++i)
            words[i] = round_to_half(normal_half(seed + m, i) * (m == 0 ? 1.0F : 0.3F));
        c.codebooks.push_back(std::move(words));
    }
}

inline PackedSegment stage_segment(decode::CodeKind kind, Index cols, int dim,
                                   const std::vector<int>& bits) {
    PackedSegment s;
    s.record.code = kind;
    s.record.cols = static_cast<std::uint64_t>(cols);
    s.record.dim = static_cast<std::uint32_t>(dim);
    s.record.stages = static_cast<std::uint32_t>(bits.size());
    for (std::size_t m = 0; m < bits.size(); ++m) {
        s.record.stage_bits[m] = static_cast<std::uint32_t>(bits[m]);
        s.record.codebook[m] = static_cast<std::uint32_t>(m);
    }
    return s;
}

/// A residual code in the lookup-table layout (lut) or the bit-packed one.
inline PackedCase residual_case(decode::CodeKind kind, const Shape& shape, int dim,
                                const std::vector<int>& bits, bool along_outputs,
                                std::uint64_t seed) {
    PackedCase c;
    const auto up = [](Index n, Index unit) { return (n + unit - 1) / unit * unit; };
    const Index rows = kind != decode::CodeKind::table ? up(shape.rows, 64)
                       : along_outputs                 ? up(shape.rows, dim)
                                                       : shape.rows;
    const Index cols = along_outputs ? shape.cols : up(shape.cols, dim);
    random_codebooks(c, bits, dim, seed);
    int all = 0;
    for (const int b : bits) all += b;
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(rows * cols / dim));
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = random_bits(seed + 5, i) >> ((64 - all) & 63);
    c.coded = MatrixD::Zero(rows, cols);
    const Index across = along_outputs ? cols : cols / dim;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        std::uint64_t code = codes[i];
        const Index a = static_cast<Index>(i) / across;
        const Index b = static_cast<Index>(i) % across;
        for (std::size_t m = 0; m < bits.size(); ++m) {
            const std::uint64_t entry = code & ((1u << bits[m]) - 1u);
            code >>= bits[m];
            for (int k = 0; k < dim; ++k) {
                const double v = c.codebooks[m][entry * static_cast<std::size_t>(dim) + k];
                if (along_outputs)
                    c.coded(a * dim + k, b) += v;
                else
                    c.coded(a, b * dim + k) += v;
            }
        }
    }
    PackedSegment s = stage_segment(kind, cols, dim, bits);
    s.record.along_outputs = along_outputs ? 1 : 0;
    s.codes = kind == decode::CodeKind::grid ? grid_layout(codes, rows, cols, all)
              : kind == decode::CodeKind::lut
                  ? lut_layout(codes, rows, cols / dim, bits)
                  : table_layout(codes, static_cast<Index>(codes.size()) / across, across, all);
    c.tensor.segments.push_back(std::move(s));
    c.name = (kind == decode::CodeKind::lut    ? "lut "
              : kind == decode::CodeKind::grid ? "grid "
                                               : "table ") +
             std::to_string(shape.rows) + "x" + std::to_string(shape.cols) + " d" +
             std::to_string(dim) + " b" + std::to_string(all);
    finish_case(c, shape, seed);
    return c;
}

struct TrellisCode {
    int bits;
    Index tile_rows;
    std::uint32_t multiplier;
    float gain;
};
inline constexpr TrellisCode byte_sum_code(int bits, Index tile_rows) {
    return {bits, tile_rows, 0x83DCD12Du, 1 / 147.8F};
}

/// The value of a state, by the definition.
inline double trellis_value(const TrellisCode& code, std::uint32_t state) {
    const std::uint32_t x = state * code.multiplier;
    const int sum = static_cast<int>((x & 255u) + (x >> 8 & 255u) + (x >> 16 & 255u) + (x >> 24));
    return static_cast<double>(static_cast<float>(sum - 510) * code.gain);
}

inline PackedCase trellis_case(const Shape& shape, const TrellisCode& code, std::uint64_t seed) {
    PackedCase c;
    const Index t = code.tile_rows;
    const Index rows = (shape.rows + t - 1) / t * t;
    const Index column_bytes = t * code.bits / 8;
    std::vector<std::uint8_t> streams(
        static_cast<std::size_t>(rows / t * shape.cols * column_bytes));
    for (std::size_t i = 0; i < streams.size(); ++i)
        streams[i] = static_cast<std::uint8_t>(random_bits(seed + 5, i));
    c.coded.resize(rows, shape.cols);
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < shape.cols; ++j) {
            const std::uint8_t* stream = streams.data() + (r / t * shape.cols + j) * column_bytes;
            std::uint32_t state = 0;
            for (Index b = 0; b < 16; ++b) {
                const Index at = (r % t * code.bits + b) % (t * code.bits);
                state |= (stream[at / 8] >> at % 8 & 1u) << b;
            }
            c.coded(r, j) = trellis_value(code, state);
        }
    PackedSegment s;
    s.record.code = decode::CodeKind::trellis;
    s.record.cols = static_cast<std::uint64_t>(shape.cols);
    s.record.trellis_value = decode::TrellisValue::byte_sum;
    s.record.trellis_bits = static_cast<std::uint32_t>(code.bits);
    s.record.tile_rows = static_cast<std::uint32_t>(t);
    s.record.multiplier[0] = code.multiplier;
    s.record.gain[0] = code.gain;
    s.codes = trellis_layout(streams, rows, shape.cols, t, code.bits);
    c.tensor.segments.push_back(std::move(s));
    c.name = "trellis " + std::to_string(shape.rows) + "x" + std::to_string(shape.cols) + " K" +
             std::to_string(code.bits) + " T" + std::to_string(t);
    finish_case(c, shape, seed);
    return c;
}

/// E8P codes, decoded by the code itself.
inline PackedCase e8p_case(const Shape& shape, const std::vector<int>& bits, std::uint64_t seed) {
    PackedCase c;
    const E8pCode code(bits, 1);
    const Index rows = (shape.rows + 63) / 64 * 64;
    const Index groups = (shape.cols + 7) / 8;
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(rows * groups));
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = random_bits(seed + 5, i) >> (64 - code.bits());
    Matrix values(rows, 8 * groups);
    code.decode(codes.data(), rows * groups, values.data());
    c.coded = values.cast<double>();
    PackedSegment s = stage_segment(decode::CodeKind::e8p, 8 * groups, 8, bits);
    for (std::size_t m = 0; m < bits.size(); ++m) {
        s.record.codebook[m] = 0;
        s.record.gain[m] = code.gains()[m];
    }
    s.codes = e8p_layout(codes, rows, groups, code.bits());
    c.tensor.segments.push_back(std::move(s));
    c.name = "e8p " + std::to_string(shape.rows) + "x" + std::to_string(shape.cols) + " " +
             std::to_string(code.bits()) + " bits";
    finish_case(c, shape, seed);
    return c;
}

/// Multiples of a scale that rounding to int8 finds again: the largest of a block is 127 of them.
inline PackedCase byte_case(const Shape& shape, std::uint64_t seed) {
    PackedCase c;
    const Index rows = (shape.rows + 63) / 64 * 64;
    Matrix values(rows, shape.cols);
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < shape.cols; ++j) {
            const Index block = r * ((shape.cols + 31) / 32) + j / 32;
            const float scale = round_to_half(static_cast<float>(
                0.01 + 0.01 * random_uniform(seed + 4, static_cast<std::uint64_t>(block))));
            const std::uint64_t bits =
                random_bits(seed + 5, static_cast<std::uint64_t>(r * shape.cols + j));
            const auto q = static_cast<float>(static_cast<int>(bits % 255) - 127);
            values(r, j) = scale * (j % 32 == 0 ? (q < 0 ? -127.0F : 127.0F) : q);
        }
    c.coded = values.cast<double>();
    PackedSegment s;
    s.record.code = decode::CodeKind::bytes;
    s.record.cols = static_cast<std::uint64_t>(shape.cols);
    s.record.dim = 1;
    s.codes =
        byte_layout({values.data(), static_cast<std::size_t>(values.size())}, rows, shape.cols);
    c.tensor.segments.push_back(std::move(s));
    c.name = "bytes " + std::to_string(shape.rows) + "x" + std::to_string(shape.cols);
    finish_case(c, shape, seed);
    return c;
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
