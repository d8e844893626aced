// SPDX-License-Identifier: Apache-2.0
// Cases of IQ4_NL.
#pragma once

#include <memory>

#include "base/bits.h"
#include "codebooks/iq4nl/iq4nl.h"
#include "codebooks/iq4nl/iq4nl_code.h"
#include "codebooks/iq4nl/iq4nl_pack.h"
#include "tests/decode/packed_case.h"

namespace vq::test {

/// Random codes; the weights are those of the definition, scale times level.
inline PackedCase iq4nl_case(const Shape& shape, std::uint64_t seed) {
    constexpr Index d = Iq4nlCode::block;
    const auto code = std::make_shared<Iq4nlCode>();
    const Index groups = round_up(shape.cols, d) / d;
    const Index words = code->words();
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(shape.rows * groups * words));
    PackedCase c;
    c.coded = MatrixD::Zero(round_up(shape.rows, decode::iq4nl_tile), groups * d);
    for (Index r = 0; r < shape.rows; ++r)
        for (Index g = 0; g < groups; ++g) {
            std::uint64_t* at = &codes[static_cast<std::size_t>((r * groups + g) * words)];
            const Half scale = half_from_float(
                normal_half(seed + 4, static_cast<std::uint64_t>(r * groups + g)) / 64);
            write_field(at, 0, 16, scale);
            for (int j = 0; j < d; ++j) {
                const std::uint64_t q =
                    random_bits(seed + 5, static_cast<std::uint64_t>((r * groups + g) * d + j)) %
                    16;
                write_field(at, 16 + 4 * j, 4, q);
                c.coded(r, g * d + j) = static_cast<double>(float_from_half(scale)) *
                                        Iq4nlCode::levels[static_cast<std::size_t>(q)];
            }
        }
    CodedView view;
    view.name = "w";
    view.rows = shape.rows;
    view.cols = shape.cols;
    view.segments.push_back({code, groups * d, "", codes});
    c.tensor.segments = std::move(pack_iq4nl(view)->segments);
    c.name = case_name(decode::iq4nl_code, shape, "");
    finish_case(c, shape, seed);
    return c;
}

extern const CodeCases iq4nl_cases;

}  // namespace vq::test
