// SPDX-License-Identifier: Apache-2.0
// Cases of E8P codes.
#pragma once

#include "lattice/e8p/e8p.h"
#include "lattice/e8p/e8p_code.h"
#include "lattice/e8p/e8p_pack.h"
#include "tests/decode/packed_case.h"

namespace vq::test {

/// E8P codes, decoded by the code itself.
inline PackedCase e8p_case(const Shape& shape, const std::vector<int>& bits, std::uint64_t seed) {
    PackedCase c;
    const E8pCode code(bits, 1);
    const Index rows = round_up(shape.rows, decode::e8p_tile);
    const Index groups = (shape.cols + 7) / 8;
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(rows * groups));
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = random_bits(seed + 5, i) >> (64 - code.bits());
    Matrix values(rows, 8 * groups);
    code.decode(codes.data(), rows * groups, values.data());
    c.coded = values.cast<double>();
    PackedSegment s = stage_segment(decode::e8p_code, 8 * groups, 8, bits);
    for (std::size_t m = 0; m < bits.size(); ++m) {
        s.record.codebook[m] = 0;
        s.record.gain[m] = code.gains()[m];
    }
    s.codes = e8p_layout(codes, rows, groups, code.bits());
    c.tensor.segments.push_back(std::move(s));
    c.name = case_name(decode::e8p_code, shape, std::to_string(code.bits()) + " bits");
    c.panels_of_codes = bits.size() == 1;
    finish_case(c, shape, seed);
    return c;
}

extern const CodeCases e8p_cases;

}  // namespace vq::test
