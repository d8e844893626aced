// SPDX-License-Identifier: Apache-2.0
// Blocks of 256 with scales (and minima) of their own for 16 or 32 weights each, which fp16 numbers
// of the block scale in turn.
#include <utility>

#include "io/gguf/ggml_blocks.h"
#include "io/gguf/ggml_iq4.h"

namespace vq::ggml {
namespace {

/// The eight 6-bit (scale, minimum) pairs of a Q4_K or Q5_K block, packed into 12 bytes: pairs 0..3
/// in the low 6 bits of bytes 0..3 and 4..7; pairs 4..7 have their low nibbles in bytes 8..11 and
/// their upper two bits at the top of bytes 0..7.
std::pair<float, float> k_scale(const Byte* packed, int pair) {
    if (pair < 4)
        return {static_cast<float>(packed[pair] & 63), static_cast<float>(packed[pair + 4] & 63)};
    const int scale = (packed[pair + 4] & 15) | (packed[pair - 4] >> 6 << 4);
    const int minimum = (packed[pair + 4] >> 4) | (packed[pair] >> 6 << 4);
    return {static_cast<float>(scale), static_cast<float>(minimum)};
}

}  // namespace

/// 16 bytes with a scale (low nibble) and a minimum (high nibble) for 16 weights each, then two
/// halves of 128 weights: 32 bytes, whose lowest two bits are the first 32 weights.
void q2_k_block(const Byte* block, float* out) {
    const float d = load_half(block + 80);
    const float dmin = load_half(block + 82);
    for (int part = 0; part < 8; ++part) {
        const Byte* pairs = block + 16 + 32 * (part / 4);
        const int shift = 2 * (part % 4);
        for (int j = 0; j < 32; ++j) {
            const Byte packed = block[2 * part + j / 16];
            const float step = d * static_cast<float>(packed & 15);
            const float low = dmin * static_cast<float>(packed >> 4);
            out[32 * part + j] = step * static_cast<float>(pairs[j] >> shift & 3) - low;
        }
    }
}

/// 32 bytes of third bits (one 32-weight part a bit), 64 of lower bit pairs as in Q2_K, 12 of
/// sixteen 6-bit scales: nibbles of the first eight bytes, bit pairs of the last four.
void q3_k_block(const Byte* block, float* out) {
    const float d = load_half(block + 108);
    const Byte* packed = block + 96;
    for (int part = 0; part < 8; ++part) {
        const Byte* pairs = block + 32 + 32 * (part / 4);
        const int shift = 2 * (part % 4);
        for (int j = 0; j < 32; ++j) {
            const int i = 2 * part + j / 16;
            const int low = packed[i % 8] >> (4 * (i / 8)) & 15;
            const int high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
            const float step = d * static_cast<float>((low | high << 4) - 32);
            const int top = block[j] >> part & 1;  // a bit that is not set takes 4 off
            out[32 * part + j] = step * static_cast<float>((pairs[j] >> shift & 3) - 4 * (1 - top));
        }
    }
}

void q4_k_block(const Byte* block, float* out) {
    const float d = load_half(block);
    const float dmin = load_half(block + 2);
    for (int pair = 0; pair < 8; ++pair) {
        const auto [scale, minimum] = k_scale(block + 4, pair);
        const float step = d * scale;
        const float low = dmin * minimum;
        const Byte* nibbles = block + 16 + 32 * (pair / 2);
        const int shift = 4 * (pair % 2);
        for (int j = 0; j < 32; ++j)
            out[32 * pair + j] = step * static_cast<float>(nibbles[j] >> shift & 15) - low;
    }
}

void q5_k_block(const Byte* block, float* out) {
    const float d = load_half(block);
    const float dmin = load_half(block + 2);
    const Byte* high = block + 16;
    for (int pair = 0; pair < 8; ++pair) {
        const auto [scale, minimum] = k_scale(block + 4, pair);
        const float step = d * scale;
        const float low = dmin * minimum;
        const Byte* nibbles = block + 48 + 32 * (pair / 2);
        const int shift = 4 * (pair % 2);
        for (int j = 0; j < 32; ++j) {
            const int q = (nibbles[j] >> shift & 15) | ((high[j] >> pair & 1) << 4);
            out[32 * pair + j] = step * static_cast<float>(q) - low;
        }
    }
}

/// Two halves of 128 weights: 64 bytes of low nibbles, 32 bytes of upper bit pairs, 8 scales each.
void q6_k_block(const Byte* block, float* out) {
    const float d = load_half(block + 208);
    for (int half = 0; half < 2; ++half) {
        const Byte* low = block + 64 * half;
        const Byte* high = block + 128 + 32 * half;
        const Byte* scales = block + 192 + 8 * half;
        for (int part = 0; part < 4; ++part) {
            const Byte* nibbles = low + 32 * (part % 2);
            for (int j = 0; j < 32; ++j) {
                const int q =
                    (nibbles[j] >> (4 * (part / 2)) & 15) | ((high[j] >> (2 * part) & 3) << 4);
                const auto scale = static_cast<std::int8_t>(scales[2 * part + j / 16]);
                out[128 * half + 32 * part + j] =
                    d * static_cast<float>(scale) * static_cast<float>(q - 32);
            }
        }
    }
}

/// 6-bit scales: nibbles of four bytes, and bit pairs of the 16-bit word before them.
void iq4_xs_block(const Byte* block, float* out) {
    const float d = load_half(block);
    const std::uint32_t high = load_u16(block + 2);
    for (int part = 0; part < 8; ++part) {
        const int low = block[4 + part / 2] >> (4 * (part % 2)) & 15;
        const int scale = low | static_cast<int>(high >> (2 * part) & 3u) << 4;
        iq4_weights(block + 8 + 16 * part, d * static_cast<float>(scale - 32), out + 32 * part);
    }
}

}  // namespace vq::ggml
