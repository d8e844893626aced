// SPDX-License-Identifier: Apache-2.0
// Rates: how many bits a weight has. They are counted in half bits, so that codes of 1.5, 2.5 or
// 3.5 bits a weight are rates like any other.
#pragma once

#include <compare>

#include "base/matrix.h"

namespace vq {

/// A rate in half bits: {5} is 2.5 bits a weight.
struct HalfBits {
    int halves = 0;

    static constexpr HalfBits whole(int bits) { return {2 * bits}; }
    constexpr double bits() const { return 0.5 * halves; }
    constexpr bool is_whole() const { return halves % 2 == 0; }
    /// Of a whole rate.
    constexpr int whole_bits() const { return halves / 2; }
    friend constexpr auto operator<=>(HalfBits, HalfBits) = default;
};

/// The rates least, least + step, ... most that columns may have; none: most is 0.
struct RateRange {
    HalfBits least = HalfBits::whole(1);
    HalfBits most = HalfBits::whole(4);
    HalfBits step = HalfBits::whole(1);
    Index columns =
        0;  ///< that change rate together; 0: 16 where that divides their number, else 1

    constexpr bool any() const { return most.halves > 0; }
    constexpr int count() const {
        return any() ? (most.halves - least.halves) / step.halves + 1 : 0;
    }
    /// The i-th of them, ascending.
    constexpr HalfBits at(int i) const { return {least.halves + i * step.halves}; }
    constexpr int index_of(HalfBits rate) const {
        return (rate.halves - least.halves) / step.halves;
    }
};

}  // namespace vq
