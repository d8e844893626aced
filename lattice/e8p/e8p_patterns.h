// SPDX-License-Identifier: Apache-2.0
// The two tables of E8P codes as integers (QuIP#, 2402.04396), shared by the code (e8p_code.h) and
// by the kernels (e8p.h). What a code means is told in lattice/e8p/e8p_table.h.
#pragma once

#include <array>

namespace vq {

struct E8pPatterns {
    /// 2 |s_i| of pattern k, 1, 3 or 5: 227 vectors of squared norm <= 10, then 29 of 12, both in
    /// ascending order.
    std::array<std::array<int, 8>, 256> twice_abs;
    /// Whether the number of negative signs of a pattern is odd.
    std::array<bool, 256> odd;
    /// Twice the short vectors of E8, for the second stage of 3-bit codes: -4 .. 4.
    std::array<std::array<int, 8>, 256> twice_short;
};
const E8pPatterns& e8p_integers();

}  // namespace vq
