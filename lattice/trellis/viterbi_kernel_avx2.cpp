// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "lattice/trellis/viterbi_kernel.h"

namespace vq {

namespace {

#include "lattice/trellis/viterbi_kernel_simd.h"

struct Avx2 {
    using V = __m256i;
    using Bits = std::uint16_t;
    static constexpr int lanes = 16;

    static V load(const void* p) { return _mm256_load_si256(static_cast<const V*>(p)); }
    static void store(std::uint16_t* p, V v) { _mm256_store_si256(reinterpret_cast<V*>(p), v); }
    static V splat(std::uint16_t v) { return _mm256_set1_epi16(static_cast<short>(v)); }
    static V zero_at(int lane) {
        alignas(32) std::uint16_t all[lanes];
        for (int i = 0; i < lanes; ++i) all[i] = i == lane ? 0 : 0xFFFF;
        return load(all);
    }
    static V min(V a, V b) { return _mm256_min_epu16(a, b); }
    static Bits less(V a, V b) {
        // There is no comparison without sign: a < b unless min(a, b) is b. Packing to bytes works
        // within halves, which the mask then brings together.
        const V not_less = _mm256_cmpeq_epi16(_mm256_min_epu16(a, b), b);
        const auto both = static_cast<std::uint32_t>(
            _mm256_movemask_epi8(_mm256_packs_epi16(not_less, not_less)));
        return static_cast<Bits>(~((both & 0xFF) | (both >> 8 & 0xFF00)));
    }
    static V add(V a, V b) { return _mm256_adds_epu16(a, b); }
    static V subtract(V a, V b) { return _mm256_subs_epu16(a, b); }
    static V subtract_signed(V a, V b) { return _mm256_subs_epi16(a, b); }
    static V square(V d) { return _mm256_mulhrs_epi16(d, d); }

    /// Lane i takes lane (16 j + i) >> K: the 64-bit quarter that holds them all, then a shuffle.
    template <int K>
    [[gnu::always_inline]] static V expand(V m, int j) {
        const int first = j * (16 >> K);  // lanes first .. first + (16 >> K) - 1, doubled or more
        alignas(32) std::uint8_t index[32] = {};
        for (int i = 0; i < 16; ++i) {
            const int lane = (first & 3) + (i >> K);  // in the quarters from the first one
            index[2 * i] = static_cast<std::uint8_t>(2 * lane);
            index[2 * i + 1] = static_cast<std::uint8_t>(2 * lane + 1);
        }
        const V pattern = _mm256_load_si256(reinterpret_cast<const V*>(index));
        // K = 1 needs 8 lanes, two quarters; the others at most 4, one quarter.
        const V half = (first >> 3) != 0 ? _mm256_permute4x64_epi64(m, 0xEE)
                                         : _mm256_permute4x64_epi64(m, 0x44);
        if constexpr (K == 1) return _mm256_shuffle_epi8(half, pattern);
        const V quarter = ((first >> 2) & 1) != 0 ? _mm256_permute4x64_epi64(half, 0xFF)
                                                  : _mm256_permute4x64_epi64(half, 0x00);
        return _mm256_shuffle_epi8(quarter, pattern);
    }

    static std::uint16_t least(V v) {
        alignas(32) std::uint16_t lane[lanes];
        store(lane, v);
        std::uint16_t out = lane[0];
        for (const std::uint16_t x : lane) out = x < out ? x : out;
        return out;
    }
};

}  // namespace

const ViterbiKernel viterbi_kernel_avx2 = {{Trellis<Avx2, 1>::search, Trellis<Avx2, 2>::search,
                                            Trellis<Avx2, 3>::search, Trellis<Avx2, 4>::search}};

}  // namespace vq
