// SPDX-License-Identifier: Apache-2.0
// The computed codes of the bitshift trellis: value = f(state), a few integer instructions and no
// table (QTIP 2406.11235). A state's 16 bits are multiplied so that its bytes look random; the sum
// of four bytes is close to Gaussian:
//     f(s) = (sum of the four bytes of s * multiplier - 510) * gain.
// The gain depends on the bits a step: a coarse code wants values closer to zero.
#pragma once

#include <cstdint>
#include <vector>

namespace vq {

/// The integer part of f, in [-510, 510], for a 16-bit state.
int trellis_integer(std::uint16_t state, std::uint32_t multiplier);

/// Of trellis_integer to the standard deviation that the code is for (Gaussian of variance 1), for
/// `bits` = 1..4 bits a weight: found by minimising the mean squared error.
float trellis_gain(int bits);

/// Mean squared error of tiles of 256 weights of a Gaussian of variance 1, for `bits` = 1..4.
double trellis_distortion(int bits);

/// The multiplier for `bits` = 1..4, stored with every tensor. Up to 2 bits both its halves are the
/// same, which saves decoders one multiplication in three and costs no distortion; with more bits
/// it would cost about 1% (bench/trellis_search.cpp).
std::uint32_t trellis_multiplier(int bits);

}  // namespace vq
