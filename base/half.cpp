// SPDX-License-Identifier: Apache-2.0
#include "base/half.h"

namespace vq {

Half half_from_float(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const auto sign = static_cast<std::uint32_t>((u >> 16) & 0x8000u);
    const std::uint32_t magnitude = u & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return static_cast<Half>(sign | 0x7E00u);   // NaN
    if (magnitude >= 0x477FF000u) return static_cast<Half>(sign | 0x7C00u);  // rounds to infinity
    if (magnitude < 0x38800000u) {
        // Subnormal in fp16: adding 0.5 lines the bits up at 2^-24 and rounds to nearest even.
        const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
        return static_cast<Half>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u));
    }
    // To nearest even: just below half a step is added, or exactly half where the result would be
    // odd. A carry into the exponent is what it should be.
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    return static_cast<Half>(sign | ((magnitude - 0x38000000u + 0xFFFu + odd) >> 13));
}

float float_from_half(Half h) {
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
    const std::uint32_t exponent = (h >> 10) & 0x1Fu;
    const std::uint32_t mantissa = h & 0x3FFu;
    if (exponent == 0) {
        // Subnormal: fp32 has the exponents for it.
        const float value = static_cast<float>(mantissa) * 0x1.0p-24F;
        return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
    }
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

void half_from_float(const float* x, std::int64_t n, Half* out) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = half_from_float(x[i]);
}
void float_from_half(const Half* x, std::int64_t n, float* out) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = float_from_half(x[i]);
}
void float_from_bf16(const BFloat16* x, std::int64_t n, float* out) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = float_from_bf16(x[i]);
}
void bf16_from_float(const float* x, std::int64_t n, BFloat16* out) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = bf16_from_float(x[i]);
}

}  // namespace vq
