// SPDX-License-Identifier: Apache-2.0
// The E8P codebook (QuIP#, 2402.04396): 2^16 points of the lattice E8 + 1/4 around the origin, from
// a table of 1 KB. E8 + 1/4 is D + 1/4 and D - 1/4 with D the vectors of half-odd integers whose
// sum is even, so that a code of 16 bits is
//     bits 0-7    which |s|: 227 vectors of D of squared norm <= 10, then 29 of squared norm 12;
//     bits 8-14   the signs of s_0 .. s_6 (1: negative); that of s_7 makes the sum even;
//     bit 15      the shift: 0: +1/4, 1: -1/4,
// and stands for s + shift. The second, smaller codebook has the 240 shortest vectors of E8 and
// +-2 e_i, for the residual of 3-bit codes.
#pragma once

#include <array>
#include <cstdint>

#include "base/matrix.h"

namespace vq {

constexpr int e8_dim = 8;
constexpr int e8p_patterns = 256;

struct E8pTable {
    /// Nibble i (lowest first) of an entry is 2 |s_i|: 1, 3 or 5. The highest bit tells whether the
    /// number of negative signs is odd.
    std::array<std::uint32_t, e8p_patterns> packed;
    /// |s_i| of every pattern, size (8, 256): one dimension after the other.
    std::array<float, static_cast<std::size_t>(e8_dim* e8p_patterns)> by_dimension;
    std::array<float, e8p_patterns> squared_norm;
};
const E8pTable& e8p_table();

/// s + shift of a code, size (8).
void e8p_decode(std::uint16_t code, float* point);

/// The codes of the `count` points nearest to x, size (8), nearest first, at most one for each
/// pattern and shift: with count = 1 the nearest point. 1 <= count <= 512; of equal distances the
/// lower pattern, then shift 0. Distances (count) are squared.
void e8p_nearest(const float* x, int count, std::uint16_t* codes, float* distances);

/// The 256 short vectors of E8, size (256, 8).
const Matrix& e8_short_vectors();

}  // namespace vq
