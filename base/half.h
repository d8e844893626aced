// SPDX-License-Identifier: Apache-2.0
// Conversions between fp32 and the two 16-bit floats, round to nearest even. Scalar and exact; the
// bulk converters work on arrays of n values.
#pragma once

#include <bit>
#include <cstdint>

namespace vq {

using Half = std::uint16_t;      ///< IEEE binary16 bits
using BFloat16 = std::uint16_t;  ///< bfloat16 bits

Half half_from_float(float x);
float float_from_half(Half h);

inline float float_from_bf16(BFloat16 b) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(b) << 16);
}
inline BFloat16 bf16_from_float(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<BFloat16>((u >> 16) | 0x40u);  // NaN
    return static_cast<BFloat16>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
}

void half_from_float(const float* x, std::int64_t n, Half* out);
void float_from_half(const Half* x, std::int64_t n, float* out);
void float_from_bf16(const BFloat16* x, std::int64_t n, float* out);
void bf16_from_float(const float* x, std::int64_t n, BFloat16* out);

/// x rounded to the nearest fp16 value.
inline float round_to_half(float x) {
    return float_from_half(half_from_float(x));
}

}  // namespace vq
