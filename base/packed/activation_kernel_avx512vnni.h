// SPDX-License-Identifier: Apache-2.0
// What happens to activations before and after products, on 16 lanes: signs, butterflies, rounding
// to int8. Included by kernels_avx512vnni.cpp alone.
#pragma once

#include <immintrin.h>

#include "base/packed/activation.h"
#include "base/packed/hadamard_kernel.h"

namespace vq::decode::activation_kernel {

namespace {

/// For hadamard_kernel.h.
struct Lanes {
    static constexpr Index width = 16;
    __m512 v;

    static Lanes set(float x) { return {_mm512_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static void store(float* p, Lanes a) { _mm512_storeu_ps(p, a.v); }
    static Lanes add(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
    static Lanes subtract(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
    static Lanes multiply(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
    static Lanes fmadd(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
    /// With its partner each lane becomes the sum, or the difference in the higher of the two.
    static Lanes butterflies(Lanes a) {
        const auto step = [](__m512 x, __m512 other, __mmask16 higher) {
            return _mm512_mask_sub_ps(_mm512_add_ps(x, other), higher, other, x);
        };
        a.v = step(a.v, _mm512_permute_ps(a.v, 0xB1), 0xAAAA);
        a.v = step(a.v, _mm512_permute_ps(a.v, 0x4E), 0xCCCC);
        a.v = step(a.v, _mm512_shuffle_f32x4(a.v, a.v, 0xB1), 0xF0F0);
        a.v = step(a.v, _mm512_shuffle_f32x4(a.v, a.v, 0x4E), 0xFF00);
        return a;
    }
};

__mmask16 lanes(Index n) {
    return n >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << n) - 1u);
}

void flip_signs(const std::uint64_t* signs, const float* x, Index n, float* out) {
    const __m512i minus = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    for (Index i = 0; i < n; i += 16) {
        const __mmask16 some = lanes(n - i);
        const auto set = static_cast<__mmask16>(signs[i / 64] >> i % 64);
        const __m512i v = _mm512_maskz_loadu_epi32(some, x + i);
        _mm512_mask_storeu_epi32(out + i, some, _mm512_mask_xor_epi32(v, set, v, minus));
    }
}

void quantize(const float* x, Index n, const ByteBuffers& out) {
    const __m256i twice = _mm256_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9,
                                           9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
    for (Index begin = 0, g = 0; begin < n; begin += activation_group, ++g) {
        const Index end = n < begin + activation_group ? n : begin + activation_group;
        __m512 largest = _mm512_setzero_ps();
        for (Index i = begin; i < end; i += 16)
            largest =
                _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(lanes(end - i), x + i)), largest);
        const float most = _mm512_reduce_max_ps(largest);
        const __m512 inverse = _mm512_set1_ps(most > 0 ? 127.0F / most : 0);
        __m512i sum = _mm512_setzero_si512();
        for (Index i = begin; i < end; i += 16) {
            const __m512 v = _mm512_maskz_loadu_ps(lanes(end - i), x + i);
            const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
            sum = _mm512_add_epi32(sum, q);
            const __m128i bytes = _mm512_cvtepi32_epi8(q);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out.bytes + i), bytes);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.pairs + i / 2),
                                _mm256_permutexvar_epi8(twice, _mm256_castsi128_si256(bytes)));
        }
        out.scales[g] = most / 127.0F;
        out.sums[g] = _mm512_reduce_add_epi32(sum);
    }
    // The padding that 16 lanes have not reached.
    for (Index i = (n + 15) / 16 * 16; i % byte_padding != 0; ++i) out.bytes[i] = 0;
}

}  // namespace

}  // namespace vq::decode::activation_kernel
