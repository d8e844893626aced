// SPDX-License-Identifier: Apache-2.0
// Blocks of 256 weights made of vectors out of codebooks, with signs apart (IQ2, IQ3) or inside
// (IQ1), and a 3- or 4-bit scale for 16 or 32 weights.
#include <bit>

#include "io/gguf/ggml_blocks.h"
#include "io/gguf/ggml_grids.h"

namespace vq::ggml {
namespace {

/// Bit i set: weight i is negative.
void put_signed(const std::int8_t* vector, int dims, float scale, std::uint32_t signs, float* out) {
    for (int i = 0; i < dims; ++i) {
        const float value = scale * static_cast<float>(vector[i]);
        out[i] = (signs >> i & 1u) != 0 ? -value : value;
    }
}

/// Of eight signs seven are stored: the number of minus signs is even.
std::uint32_t even_signs(std::uint32_t seven) {
    return seven | (static_cast<std::uint32_t>(std::popcount(seven)) & 1u) << 7;
}

std::uint32_t nibble(const Byte* at, int i) {
    return at[i / 2] >> (4 * (i % 2)) & 15u;
}

/// The fp16 number times an odd number of eighths (of quarters for IQ3_XXS).
float half_steps(float d, std::uint32_t scale, float unit) {
    return d * (0.5F + static_cast<float>(scale)) * unit;
}

/// Around a vector of -1, 0, 1 all eight weights move by an eighth.
void put_shifted(std::uint32_t index, float scale, bool down, float* out) {
    const std::int8_t* vector = iq1_grid.data() + 8 * index;
    for (int i = 0; i < 8; ++i)
        out[i] = scale * (static_cast<float>(vector[i]) + (down ? -0.125F : 0.125F));
}

}  // namespace

/// For 32 weights four bytes of indices, then a word of four times seven signs and the scale.
void iq2_xxs_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int part = 0; part < 8; ++part) {
        const Byte* indices = block + 2 + 8 * part;
        const std::uint32_t word = load_u32(indices + 4);
        const float scale = half_steps(d, word >> 28, 0.25F);
        for (int i = 0; i < 4; ++i)
            put_signed(iq2_xxs_grid.data() + 8 * indices[i], 8, scale,
                       even_signs(word >> (7 * i) & 127u), out + 32 * part + 8 * i);
    }
}

/// 32 words of a 9-bit index and seven signs, then nibbles of scales for 16 weights each.
void iq2_xs_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int i = 0; i < 32; ++i) {
        const std::uint32_t word = load_u16(block + 2 + 2 * i);
        put_signed(iq2_xs_grid.data() + 8 * (word & 511u), 8,
                   half_steps(d, nibble(block + 66, i / 2), 0.25F), even_signs(word >> 9),
                   out + 8 * i);
    }
}

/// 32 bytes of indices, 32 of signs, 8 of the indices' upper bit pairs, 8 of scales.
void iq2_s_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int i = 0; i < 32; ++i) {
        const std::uint32_t high = block[66 + i / 4] >> (2 * (i % 4)) & 3u;
        const std::uint32_t index = block[2 + i] | high << 8;
        put_signed(iq2_s_grid.data() + 8 * index, 8,
                   half_steps(d, nibble(block + 74, i / 2), 0.25F), block[34 + i], out + 8 * i);
    }
}

/// 64 bytes of indices, then for 32 weights each a word of signs and scale as in IQ2_XXS.
void iq3_xxs_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int i = 0; i < 64; ++i) {
        const std::uint32_t word = load_u32(block + 66 + 4 * (i / 8));
        const std::uint32_t signs = even_signs(word >> (7 * (i % 8 / 2)) & 127u);
        put_signed(iq3_xxs_grid.data() + 4 * block[2 + i], 4, half_steps(d, word >> 28, 0.5F),
                   signs >> (4 * (i % 2)), out + 4 * i);
    }
}

/// 64 bytes of indices, 8 of their ninth bits, 32 of signs, 4 of scales.
void iq3_s_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int i = 0; i < 64; ++i) {
        const std::uint32_t high = block[66 + i / 8] >> (i % 8) & 1u;
        const std::uint32_t index = block[2 + i] | high << 8;
        const std::uint32_t signs = static_cast<std::uint32_t>(block[74 + i / 2]) >> (4 * (i % 2));
        const float scale = d * static_cast<float>(1 + 2 * nibble(block + 106, i / 8));
        put_signed(iq3_s_grid.data() + 4 * index, 4, scale, signs, out + 4 * i);
    }
}

/// 32 bytes of indices; for 32 weights each a word of four times three upper bits, the scale, and
/// which way the vectors move.
void iq1_s_block(const Byte* block, float* out) {
    const float d = load_half(block);
    for (int i = 0; i < 32; ++i) {
        const std::uint32_t word = load_u16(block + 34 + 2 * (i / 4));
        const std::uint32_t index = block[2 + i] | (word >> (3 * (i % 4)) & 7u) << 8;
        const float scale = d * static_cast<float>(2 * (word >> 12 & 7u) + 1);
        put_shifted(index, scale, word >> 15 != 0, out + 8 * i);
    }
}

/// 32 bytes of indices, 16 of nibbles (three upper bits and which way a vector moves), four words of
/// four 3-bit scales; the highest nibbles of the words together are the fp16 number.
void iq1_m_block(const Byte* block, float* out) {
    const Byte* words = block + 48;
    std::uint32_t half = 0;
    for (int i = 0; i < 4; ++i) half |= load_u16(words + 2 * i) >> 12 << (4 * i);
    const float d = float_from_half(static_cast<Half>(half));
    for (int i = 0; i < 32; ++i) {
        const std::uint32_t bits = nibble(block + 32, i);
        const std::uint32_t index = block[i] | (bits & 7u) << 8;
        const std::uint32_t word = load_u16(words + 2 * (i / 8));
        const std::uint32_t scale = word >> (3 * (i % 8 / 2)) & 7u;
        put_shifted(index, d * static_cast<float>(2 * scale + 1), (bits & 8u) != 0, out + 8 * i);
    }
}

}  // namespace vq::ggml
