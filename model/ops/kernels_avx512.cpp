// SPDX-License-Identifier: Apache-2.0
// gcc 12 warns about the undefined operands that its own AVX-512 header passes on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "model/ops/kernels_body.h"

namespace vq {

namespace {

struct Lanes16 {
    static constexpr Index width = 16;
    __m512 v;
    static Lanes16 set(float x) { return {_mm512_set1_ps(x)}; }
    static Lanes16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static __mmask16 mask(Index n) { return static_cast<__mmask16>((1U << n) - 1U); }
    static Lanes16 load_n(const float* p, Index n, float fill) {
        return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask(n), p)};
    }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    void store_n(float* p, Index n) const { _mm512_mask_storeu_ps(p, mask(n), v); }
    static Lanes16 fmadd(Lanes16 a, Lanes16 b, Lanes16 c) {
        return {_mm512_fmadd_ps(a.v, b.v, c.v)};
    }
    static Lanes16 max(Lanes16 a, Lanes16 b) { return {_mm512_max_ps(a.v, b.v)}; }
    static Lanes16 min(Lanes16 a, Lanes16 b) { return {_mm512_min_ps(a.v, b.v)}; }
    static Lanes16 round(Lanes16 a) {
        return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
    }
    static Lanes16 pow2(Lanes16 a) {
        const __m512i n = _mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(127));
        return {_mm512_castsi512_ps(_mm512_slli_epi32(n, 23))};
    }
    static float sum(Lanes16 a) { return _mm512_reduce_add_ps(a.v); }
    static float largest(Lanes16 a) { return _mm512_reduce_max_ps(a.v); }
    friend Lanes16 operator+(Lanes16 a, Lanes16 b) { return {_mm512_add_ps(a.v, b.v)}; }
    friend Lanes16 operator-(Lanes16 a, Lanes16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
    friend Lanes16 operator*(Lanes16 a, Lanes16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
    friend Lanes16 operator/(Lanes16 a, Lanes16 b) { return {_mm512_div_ps(a.v, b.v)}; }
};

void to_bf16(const float* x, Index n, BFloat16* out) {
    for (Index i = 0; i < n; i += 16) {
        const Index m = n - i < 16 ? n - i : 16;
        const __m512 v = Lanes16::load_n(x + i, m, 0.0F).v;
        const __m512i u = _mm512_castps_si512(v);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
        const __m512i rounded =
            _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        const __m512i bits = _mm512_srli_epi32(
            _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000)), 16);
        _mm256_mask_storeu_epi16(out + i, Lanes16::mask(m), _mm512_cvtepi32_epi16(bits));
    }
}

}  // namespace

const Kernels kernels_avx512 = kernels_detail::table<Lanes16>(to_bf16);

}  // namespace vq
