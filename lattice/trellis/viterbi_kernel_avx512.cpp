// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "lattice/trellis/viterbi_kernel.h"

namespace vq {

namespace {

#include "lattice/trellis/viterbi_kernel_simd.h"

struct Avx512 {
    using V = __m512i;
    using Bits = std::uint32_t;
    static constexpr int lanes = 32;

    static V load(const void* p) { return _mm512_load_si512(p); }
    static void store(std::uint16_t* p, V v) { _mm512_store_si512(p, v); }
    static V splat(std::uint16_t v) { return _mm512_set1_epi16(static_cast<short>(v)); }
    static V zero_at(int lane) {
        return _mm512_mask_mov_epi16(splat(0xFFFF), 1u << lane, splat(0));
    }
    static V min(V a, V b) { return _mm512_min_epu16(a, b); }
    static Bits less(V a, V b) { return _mm512_cmplt_epu16_mask(a, b); }
    static V add(V a, V b) { return _mm512_adds_epu16(a, b); }
    static V subtract(V a, V b) { return _mm512_subs_epu16(a, b); }
    static V subtract_signed(V a, V b) { return _mm512_subs_epi16(a, b); }
    static V square(V d) { return _mm512_mulhrs_epi16(d, d); }

    /// Lane i takes lane (32 j + i) >> K.
    template <int K>
    static V expand(V m, int j) {
        const V lane = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
                                        16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        // One permutation across the register, which AVX2 does not have for 16 bits.
        const V index = _mm512_add_epi16(_mm512_srli_epi16(lane, K),
                                         splat(static_cast<std::uint16_t>(j << (5 - K))));
        return _mm512_permutexvar_epi16(index, m);
    }

    static std::uint16_t least(V v) {
        alignas(64) std::uint16_t lane[lanes];
        store(lane, v);
        std::uint16_t out = lane[0];
        for (const std::uint16_t x : lane) out = x < out ? x : out;
        return out;
    }
};

}  // namespace

const ViterbiKernel viterbi_kernel_avx512 = {
    {Trellis<Avx512, 1>::search, Trellis<Avx512, 2>::search, Trellis<Avx512, 3>::search,
     Trellis<Avx512, 4>::search}};

}  // namespace vq
