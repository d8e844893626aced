// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/trellis_function.h"

#include "base/error.h"

namespace vq {

int trellis_integer(std::uint16_t state, std::uint32_t multiplier) {
    const std::uint32_t x = state * multiplier;
    return static_cast<int>((x & 0xFF) + (x >> 8 & 0xFF) + (x >> 16 & 0xFF) + (x >> 24)) - 510;
}

std::uint32_t trellis_multiplier(int bits) {
    VQ_ASSERT(bits >= 1 && bits <= 4);
    // Found by bench/trellis_search.cpp.
    return bits <= 2 ? 0xBA69BA69u : 0x83DCD12Du;
}

float trellis_gain(int bits) {
    VQ_ASSERT(bits >= 1 && bits <= 4);
    // A sum of four bytes has a standard deviation of 148. With few bits values are to lie closer
    // to zero than the weights do, with many a little farther out.
    constexpr float gains[] = {1 / 165.0F, 1 / 145.0F, 1 / 139.0F, 1 / 135.0F};
    return gains[bits - 1];
}

double trellis_distortion(int bits) {
    VQ_ASSERT(bits >= 1 && bits <= 4);
    constexpr double distortions[] = {0.272, 0.0686, 0.0176, 0.0046};
    return distortions[bits - 1];
}

}  // namespace vq
