// SPDX-License-Identifier: Apache-2.0
// Blocks of 32. The low nibbles of the 16 bytes are weights 0..15, the high ones 16..31; bit j of
// the 32-bit word of the 5-bit types is the fifth bit of weight j.
#include <array>
#include <bit>

#include "io/gguf/ggml_blocks.h"
#include "io/gguf/ggml_iq4.h"

namespace vq::ggml {

void q4_0_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int j = 0; j < 16; ++j) {
        out[j] = d * static_cast<float>((block[2 + j] & 15) - 8);
        out[j + 16] = d * static_cast<float>((block[2 + j] >> 4) - 8);
    }
}

void q4_1_block(const Byte* block, float* out) {
    const float d = load_half(block);
    const float m = load_half(block + 2);
    for (int j = 0; j < 16; ++j) {
        out[j] = d * static_cast<float>(block[4 + j] & 15) + m;
        out[j + 16] = d * static_cast<float>(block[4 + j] >> 4) + m;
    }
}

void q5_0_block(const Byte* block, float* out) {
    const float d = load_half(block);
    const std::uint32_t high = load_u32(block + 2);
    for (int j = 0; j < 16; ++j) {
        const int low = static_cast<int>((block[6 + j] & 15u) | ((high >> j & 1u) << 4));
        const int top = static_cast<int>((block[6 + j] >> 4) | ((high >> (j + 16) & 1u) << 4));
        out[j] = d * static_cast<float>(low - 16);
        out[j + 16] = d * static_cast<float>(top - 16);
    }
}

void q5_1_block(const Byte* block, float* out) {
    const float d = load_half(block);
    const float m = load_half(block + 2);
    const std::uint32_t high = load_u32(block + 4);
    for (int j = 0; j < 16; ++j) {
        const auto low = (block[8 + j] & 15u) | ((high >> j & 1u) << 4);
        const auto top = (block[8 + j] >> 4) | ((high >> (j + 16) & 1u) << 4);
        out[j] = d * static_cast<float>(low) + m;
        out[j + 16] = d * static_cast<float>(top) + m;
    }
}

void q8_0_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int j = 0; j < 32; ++j)
        out[j] = d * static_cast<float>(static_cast<std::int8_t>(block[2 + j]));
}

void iq4_nl_block(const Byte* block, float* out) {
    iq4_weights(block + 2, load_half(block), out);
}

/// The first byte is an exponent alone (OCP Microscaling, E8M0), the nibbles are E2M1: sign, two
/// bits of exponent, one of mantissa. The table holds them doubled, so the scale is halved.
void mxfp4_block(const Byte* block, float* out) {
    constexpr std::array<std::int8_t, 16> doubled{0, 1,  2,  3,  4,  6,  8,  12,
                                                  0, -1, -2, -3, -4, -6, -8, -12};
    const std::uint32_t exponent = block[0];
    // 2^(exponent - 128); the two smallest are subnormal.
    const std::uint32_t bits = exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23;
    const auto d = std::bit_cast<float>(bits);
    for (int j = 0; j < 16; ++j) {
        out[j] = d * static_cast<float>(doubled[block[1 + j] & 15u]);
        out[j + 16] = d * static_cast<float>(doubled[block[1 + j] >> 4]);
    }
}

}  // namespace vq::ggml
