// SPDX-License-Identifier: Apache-2.0
// Tiles of 6 points x 32 codewords: 12 sums, 12 registers of running minima, 2 of codewords and a
// broadcast fit the 32 registers; 8 loads feed 12 FMAs a dimension.
#include <immintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own intrinsics read "undefined" vectors under a full mask and warn about it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "codebooks/assign/assigner_kernel.h"

namespace vq {
namespace {

#include "codebooks/assign/assigner_kernel_simd.h"

struct Avx512 {
    using F = __m512;
    using I = __m512i;
    using M = __mmask16;
    static constexpr int width = 16;
    static constexpr int queries = 6;
    static constexpr int vectors = 2;

    static F load(const float* p) { return _mm512_load_ps(p); }
    static F load_unaligned(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, F v) { _mm512_store_ps(p, v); }
    static void store(int* p, I v) { _mm512_storeu_si512(p, v); }
    static F broadcast(const float* p) { return _mm512_set1_ps(*p); }
    static F infinity() { return _mm512_set1_ps(__builtin_inff()); }
    static I splat(int v) { return _mm512_set1_epi32(v); }
    static F fnmadd(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
    static F fmadd(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static F fmsub(F a, F b, F c) { return _mm512_fmsub_ps(a, b, c); }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    static M less_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
    /// a < b, or a == b in a lane after `lane`.
    static M less_or_equal_after(F a, F b, int lane) {
        const auto after = static_cast<M>(0xFFFEU << lane);
        return less(a, b) | _mm512_mask_cmp_ps_mask(after, a, b, _CMP_LE_OQ);
    }
    static bool any(M m) { return m != 0; }
    static I blend(M m, I no, I yes) { return _mm512_mask_mov_epi32(no, m, yes); }
    static I increment(I v, M m) { return _mm512_mask_add_epi32(v, m, v, _mm512_set1_epi32(1)); }
    static I lanes() {
        return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
    /// The lowest code + lane among the lanes of the least score.
    static std::uint32_t lowest_best(F score, I code) {
        const F least = _mm512_set1_ps(_mm512_reduce_min_ps(score));
        const M equal = _mm512_cmp_ps_mask(score, least, _CMP_EQ_OQ);
        return _mm512_mask_reduce_min_epu32(equal, _mm512_add_epi32(code, lanes()));
    }
    /// Appends the lanes of `m`, in order, with codes from `code` on; returns the new count. Writes
    /// whole vectors: the compressing store is microcoded on Zen.
    static int append(M m, F score, int code, float* scores, std::uint32_t* codes, int count) {
        _mm512_storeu_ps(scores + count, _mm512_maskz_compress_ps(m, score));
        _mm512_storeu_si512(codes + count,
                            _mm512_maskz_compress_epi32(m, _mm512_add_epi32(splat(code), lanes())));
        return count + __builtin_popcount(m);
    }
};

}  // namespace

const AssignerKernel assigner_kernel_avx512 = {nearest_entry<Avx512>, nearest_t_entry<Avx512>};

}  // namespace vq
