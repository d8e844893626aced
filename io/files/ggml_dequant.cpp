// SPDX-License-Identifier: Apache-2.0
#include "io/files/ggml_dequant.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/half.h"

namespace vq {
namespace {

using Byte = std::uint8_t;

constexpr std::array<std::pair<GgmlType, GgmlTypeInfo>, 11> readable_types{{
    {GgmlType::f32, {"F32", 1, 4}},
    {GgmlType::f16, {"F16", 1, 2}},
    {GgmlType::bf16, {"BF16", 1, 2}},
    {GgmlType::q4_0, {"Q4_0", 32, 18}},
    {GgmlType::q4_1, {"Q4_1", 32, 20}},
    {GgmlType::q5_0, {"Q5_0", 32, 22}},
    {GgmlType::q5_1, {"Q5_1", 32, 24}},
    {GgmlType::q8_0, {"Q8_0", 32, 34}},
    {GgmlType::q4_k, {"Q4_K", 256, 144}},
    {GgmlType::q5_k, {"Q5_K", 256, 176}},
    {GgmlType::q6_k, {"Q6_K", 256, 210}},
}};

// Indexed by type number; empty where a number was withdrawn.
constexpr std::array all_names{"F32",   "F16",   "Q4_0",    "Q4_1",   "",        "",      "Q5_0",
                               "Q5_1",  "Q8_0",  "Q8_1",    "Q2_K",   "Q3_K",    "Q4_K",  "Q5_K",
                               "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL",
                               "IQ3_S", "IQ2_S", "IQ4_XS",  "I8",     "I16",     "I32",   "I64",
                               "F64",   "IQ1_M", "BF16",    "",       "",        "",      "TQ1_0",
                               "TQ2_0", "",      "",        "",       "MXFP4"};

float load_half(const Byte* at) {
    Half bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    return float_from_half(bits);
}

std::uint32_t load_u32(const Byte* at) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    return bits;
}

// Blocks of 32. The low nibbles of the 16 bytes are weights 0..15, the high ones 16..31; bit j of
// the 32-bit word of the 5-bit types is the fifth bit of weight j.

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

using BlockFunction = void (*)(const Byte*, float*);

BlockFunction block_function(GgmlType type) {
    switch (type) {
        case GgmlType::q4_0: return q4_0_block;
        case GgmlType::q4_1: return q4_1_block;
        case GgmlType::q5_0: return q5_0_block;
        case GgmlType::q5_1: return q5_1_block;
        case GgmlType::q8_0: return q8_0_block;
        case GgmlType::q4_k: return q4_k_block;
        case GgmlType::q5_k: return q5_k_block;
        case GgmlType::q6_k: return q6_k_block;
        default: return nullptr;
    }
}

void narrow_floats(GgmlType type, const Byte* data, std::int64_t count, float* out) {
    constexpr std::int64_t chunk = 4096;
    std::array<std::uint16_t, chunk> buffer;  // data may be unaligned
    for (std::int64_t at = 0; at < count; at += chunk) {
        const std::int64_t n = std::min(chunk, count - at);
        std::memcpy(buffer.data(), data + 2 * at, static_cast<std::size_t>(2 * n));
        if (type == GgmlType::f16)
            float_from_half(buffer.data(), n, out + at);
        else
            float_from_bf16(buffer.data(), n, out + at);
    }
}

}  // namespace

const GgmlTypeInfo* ggml_type_info(std::uint32_t type) {
    for (const auto& [id, info] : readable_types)
        if (static_cast<std::uint32_t>(id) == type) return &info;
    return nullptr;
}

std::string ggml_type_name(std::uint32_t type) {
    if (type < all_names.size() && *all_names[type] != '\0') return all_names[type];
    return "type " + std::to_string(type);
}

void ggml_dequantize(GgmlType type, const std::uint8_t* data, std::int64_t count, float* out) {
    const GgmlTypeInfo* info = ggml_type_info(static_cast<std::uint32_t>(type));
    VQ_ASSERT(info != nullptr && count % info->block_size == 0);
    if (count == 0) return;
    if (type == GgmlType::f32) {
        std::memcpy(out, data, static_cast<std::size_t>(count) * sizeof(float));
    } else if (const BlockFunction block = block_function(type)) {
        for (std::int64_t i = 0; i < count / info->block_size; ++i)
            block(data + i * info->block_bytes, out + i * info->block_size);
    } else {
        narrow_floats(type, data, count, out);
    }
}

}  // namespace vq
