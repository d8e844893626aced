// SPDX-License-Identifier: Apache-2.0
// Cases of trellis codes with random streams.
#pragma once

#include "lattice/trellis/trellis.h"
#include "lattice/trellis/trellis_pack.h"
#include "tests/decode/packed_case.h"

namespace vq::test {

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
    const Index rows = round_up(shape.rows, t);
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
    s.record.code = decode::trellis_code.kind;
    s.record.cols = static_cast<std::uint64_t>(shape.cols);
    s.record.trellis_value = decode::TrellisValue::byte_sum;
    s.record.trellis_bits = static_cast<std::uint32_t>(code.bits);
    s.record.tile_rows = static_cast<std::uint32_t>(t);
    s.record.multiplier[0] = code.multiplier;
    s.record.gain[0] = code.gain;
    s.codes = trellis_layout(streams, rows, shape.cols, t, code.bits);
    c.tensor.segments.push_back(std::move(s));
    c.name = case_name(decode::trellis_code, shape,
                       "K" + std::to_string(code.bits) + " T" + std::to_string(t));
    finish_case(c, shape, seed);
    return c;
}

extern const CodeCases trellis_cases;

}  // namespace vq::test
