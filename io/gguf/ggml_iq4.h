// SPDX-License-Identifier: Apache-2.0
// The 16 unevenly spaced values of IQ4_NL and IQ4_XS.
#pragma once

#include <array>
#include <cstdint>

namespace vq::ggml {

inline constexpr std::array<std::int8_t, 16> iq4_values{-127, -104, -83, -65, -49, -35, -22, -10,
                                                        1,    13,   25,  38,  53,  69,  89,  113};

/// 16 bytes of nibbles to 32 weights, the low ones first.
inline void iq4_weights(const std::uint8_t* nibbles, float scale, float* out) {
    for (int j = 0; j < 16; ++j) {
        out[j] = scale * static_cast<float>(iq4_values[nibbles[j] & 15u]);
        out[j + 16] = scale * static_cast<float>(iq4_values[nibbles[j] >> 4]);
    }
}

}  // namespace vq::ggml
