// SPDX-License-Identifier: Apache-2.0
// Cases of codes with stages of random codewords.
#pragma once

#include <algorithm>
#include <cmath>

#include "codebooks/residual/lut.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/residual/table.h"
#include "tests/decode/packed_case.h"

namespace vq::test {

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

/// layout(codes, rows, across, stage_bits) -> bytes; `across`: vectors of a row, or of a band.
template <class Layout>
PackedCase staged_case(const decode::PackedCode& code, const Shape& shape, int dim,
                       const std::vector<int>& bits, bool along_outputs, std::uint64_t seed,
                       const Layout& layout) {
    PackedCase c;
    const Index rows =
        round_up(shape.rows, along_outputs ? static_cast<Index>(dim) : code.tile_rows);
    const Index cols = along_outputs ? shape.cols : round_up(shape.cols, dim);
    random_codebooks(c, bits, dim, seed);
    int all = 0;
    for (const int b : bits) all += b;
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(rows * cols / dim));
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = random_bits(seed + 5, i) >> ((64 - all) & 63);
    c.coded = MatrixD::Zero(rows, cols);
    const Index across = along_outputs ? cols : cols / dim;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        std::uint64_t code_left = codes[i];
        const Index a = static_cast<Index>(i) / across;
        const Index b = static_cast<Index>(i) % across;
        for (std::size_t m = 0; m < bits.size(); ++m) {
            const std::uint64_t entry = code_left & ((1u << bits[m]) - 1u);
            code_left >>= bits[m];
            for (int k = 0; k < dim; ++k) {
                const double v = c.codebooks[m][entry * static_cast<std::size_t>(dim) + k];
                if (along_outputs)
                    c.coded(a * dim + k, b) += v;
                else
                    c.coded(a, b * dim + k) += v;
            }
        }
    }
    PackedSegment s = stage_segment(code, cols, dim, bits);
    s.record.along_outputs = along_outputs ? 1 : 0;
    s.codes = layout(codes, static_cast<Index>(codes.size()) / across, across, bits);
    c.tensor.segments.push_back(std::move(s));
    c.name = case_name(code, shape, "d" + std::to_string(dim) + " b" + std::to_string(all));
    finish_case(c, shape, seed);
    return c;
}

/// Tables of all products are rounded: their entries are steps of 1/127 of the largest of a block.
inline double lut_rounding(const PackedCase& c, const VectorD& x) {
    const auto d = static_cast<Index>(c.tensor.segments.front().record.dim);
    double error = 0;
    for (Index b = 0; b < x.size(); b += decode::lut_block * d) {
        double largest = 0;
        Index lookups = 0;
        for (Index g = b; g < std::min(b + decode::lut_block * d, x.size()); g += d)
            for (const auto& words : c.codebooks) {
                const auto entries = static_cast<Index>(words.size()) / d;
                const VectorD dots =
                    Eigen::Map<const Matrix>(words.data(), entries, d).cast<double>() *
                    x.segment(g, d);
                largest = std::max(largest, dots.cwiseAbs().maxCoeff());
                ++lookups;
            }
        for (Index r = 0; r < c.tensor.rows; ++r) {
            const auto scale =
                static_cast<double>(c.tensor.scales[c.tensor.scales.size() == 1 ? 0 : r]);
            error += static_cast<double>(lookups) * std::pow(largest / 127 * scale, 2);
        }
    }
    return error / 12;
}

inline PackedCase lut_case(const Shape& shape, int dim, const std::vector<int>& bits,
                           std::uint64_t seed) {
    PackedCase c = staged_case(decode::lut_code, shape, dim, bits, false, seed, lut_layout);
    c.rounding = lut_rounding;
    return c;
}

inline PackedCase table_case(const Shape& shape, int dim, const std::vector<int>& bits,
                             bool along_outputs, std::uint64_t seed) {
    PackedCase c = staged_case(
        decode::table_code, shape, dim, bits, along_outputs, seed,
        [](const auto& codes, Index rows, Index across, const std::vector<int>& stages) {
            int all = 0;
            for (const int b : stages) all += b;
            return table_layout(codes, rows, across, all);
        });
    c.integer_sums =
        dim >= decode::table_least_dim && dim <= decode::table_most_dim && shape.scale_group == 0;
    c.rounds_codewords = true;
    if (!along_outputs) c.scale_width = decode::table_block * dim;
    return c;
}

extern const CodeCases lut_cases;
extern const CodeCases table_cases;

}  // namespace vq::test
