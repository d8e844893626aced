// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "model/ops/kernels_body.h"

namespace vq {

namespace {

struct Lanes8 {
    static constexpr Index width = 8;
    __m256 v;
    static Lanes8 set(float x) { return {_mm256_set1_ps(x)}; }
    static Lanes8 load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static __m256i mask(Index n) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    static Lanes8 load_n(const float* p, Index n, float fill) {
        const __m256i m = mask(n);
        return {_mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, m),
                                 _mm256_castsi256_ps(m))};
    }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
    void store_n(float* p, Index n) const { _mm256_maskstore_ps(p, mask(n), v); }
    static Lanes8 fmadd(Lanes8 a, Lanes8 b, Lanes8 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    static Lanes8 max(Lanes8 a, Lanes8 b) { return {_mm256_max_ps(a.v, b.v)}; }
    static Lanes8 min(Lanes8 a, Lanes8 b) { return {_mm256_min_ps(a.v, b.v)}; }
    static Lanes8 round(Lanes8 a) {
        return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
    }
    static Lanes8 pow2(Lanes8 a) {
        const __m256i n = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127));
        return {_mm256_castsi256_ps(_mm256_slli_epi32(n, 23))};
    }
    static float sum(Lanes8 a) {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
    }
    static float largest(Lanes8 a) {
        __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        s = _mm_max_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
    }
    friend Lanes8 operator+(Lanes8 a, Lanes8 b) { return {_mm256_add_ps(a.v, b.v)}; }
    friend Lanes8 operator-(Lanes8 a, Lanes8 b) { return {_mm256_sub_ps(a.v, b.v)}; }
    friend Lanes8 operator*(Lanes8 a, Lanes8 b) { return {_mm256_mul_ps(a.v, b.v)}; }
    friend Lanes8 operator/(Lanes8 a, Lanes8 b) { return {_mm256_div_ps(a.v, b.v)}; }
};

// Eight rounded values, each in the upper half of its 32 bits.
__m256i round_upper(__m256 x) {
    const __m256i u = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, nan);
}

void to_bf16(const float* x, Index n, BFloat16* out) {
    Index i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i a = _mm256_srli_epi32(round_upper(_mm256_loadu_ps(x + i)), 16);
        const __m256i b = _mm256_srli_epi32(round_upper(_mm256_loadu_ps(x + i + 8)), 16);
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xD8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), packed);
    }
    for (; i < n; i += 8) {
        const Index m = n - i < 8 ? n - i : 8;
        alignas(32) std::uint32_t bits[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(bits),
                           round_upper(Lanes8::load_n(x + i, m, 0.0F).v));
        for (Index j = 0; j < m; ++j) out[i + j] = static_cast<BFloat16>(bits[j] >> 16);
    }
}

}  // namespace

const Kernels kernels_avx2 = kernels_detail::table<Lanes8>(to_bf16);

}  // namespace vq
