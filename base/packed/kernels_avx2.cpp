// SPDX-License-Identifier: Apache-2.0
// AVX2 with FMA.
#include <immintrin.h>

#include <type_traits>

#include "base/packed/activation.h"
#include "base/packed/hadamard_kernel.h"
#include "base/packed/kernels.h"
#include "base/packed/panel_kernel_avx2.h"

namespace vq::decode {

namespace {

float round_weights(const float* v, std::uint8_t* bytes) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    __m256 largest = _mm256_setzero_ps();
    for (Index j = 0; j < activation_group; j += 8)
        largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, _mm256_loadu_ps(v + j)));
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, largest);
    float most = 0;
    for (const float x : lanes) most = x > most ? x : most;
    const __m256 inverse = _mm256_set1_ps(most > 0 ? 127.0F / most : 0);
    // AVX2 narrows to bytes within halves of 16 bytes only: through memory they come out in order.
    alignas(32) std::int32_t words[8];
    for (Index j = 0; j < activation_group; j += 8) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(words),
                           _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(v + j), inverse)));
        for (Index k = 0; k < 8; ++k) bytes[j + k] = static_cast<std::uint8_t>(words[k] + 128);
    }
    return most / 127.0F;
}

/// For hadamard_kernel.h.
struct Lanes {
    static constexpr Index width = 8;
    __m256 v;

    static Lanes set(float x) { return {_mm256_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static void store(float* p, Lanes a) { _mm256_storeu_ps(p, a.v); }
    static Lanes add(Lanes a, Lanes b) { return {_mm256_add_ps(a.v, b.v)}; }
    static Lanes subtract(Lanes a, Lanes b) { return {_mm256_sub_ps(a.v, b.v)}; }
    static Lanes multiply(Lanes a, Lanes b) { return {_mm256_mul_ps(a.v, b.v)}; }
    static Lanes fmadd(Lanes a, Lanes b, Lanes c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    /// With its partner each lane becomes the sum, or the difference in the higher of the two.
    static Lanes butterflies(Lanes a) {
        const auto step = [](__m256 x, __m256 other, auto higher) {
            return _mm256_blend_ps(_mm256_add_ps(x, other), _mm256_sub_ps(other, x),
                                   decltype(higher)::value);
        };
        a.v = step(a.v, _mm256_permute_ps(a.v, 0xB1), std::integral_constant<int, 0xAA>());
        a.v = step(a.v, _mm256_permute_ps(a.v, 0x4E), std::integral_constant<int, 0xCC>());
        a.v = step(a.v, _mm256_permute2f128_ps(a.v, a.v, 1), std::integral_constant<int, 0xF0>());
        return a;
    }
};

void flip_signs(const std::uint64_t* signs, const float* x, Index n, float* out) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    Index i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i byte = _mm256_set1_epi32(static_cast<int>(signs[i / 64] >> i % 64 & 0xFFu));
        const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(byte, bit), bit);
        const __m256 minus = _mm256_castsi256_ps(_mm256_slli_epi32(set, 31));
        _mm256_storeu_ps(out + i, _mm256_xor_ps(_mm256_loadu_ps(x + i), minus));
    }
    for (; i < n; ++i) out[i] = (signs[i / 64] >> i % 64 & 1u) != 0 ? -x[i] : x[i];
}

struct Floats {
    static __m256 load(const float* p) { return _mm256_loadu_ps(p); }
    static float one(float x) { return x; }
};
struct Halves {
    static __m256 load(const Half* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static float one(Half x) { return _cvtsh_ss(x); }
};
struct BFloats {
    static __m256 load(const BFloat16* p) {
        const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
    static float one(BFloat16 x) {
        return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(x << 16)));
    }
};

template <class A, class T>
float dot_of(const T* a, const float* b, Index n) {
    // Two loads feed each multiply-add and a cycle has two, so that one is done a cycle at best: at
    // a latency of four cycles four sums keep that up.
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    Index i = 0;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 4; ++k)
            sum[k] =
                _mm256_fmadd_ps(A::load(a + i + 8 * k), _mm256_loadu_ps(b + i + 8 * k), sum[k]);
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes,
                    _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
    float total = 0;
    for (const float v : lanes) total += v;
    for (; i < n; ++i) total += A::one(a[i]) * b[i];
    return total;
}

}  // namespace

const Kernels kernels_avx2 = {"avx2",         KernelSet::avx2,      hadamard_kernel::block<Lanes>,
                              flip_signs,     quantize_activations, panel_kernel_avx2::panel,
                              round_weights,  dot_of<Floats>,       dot_of<Halves>,
                              dot_of<BFloats>};

}  // namespace vq::decode
