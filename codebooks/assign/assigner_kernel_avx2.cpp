// SPDX-License-Identifier: Apache-2.0
// Tiles of 4 points x 16 codewords: 8 sums hide the FMA latency; the running minima live in L1.
#include <immintrin.h>

#include "codebooks/assign/assigner_kernel.h"

namespace vq {
namespace {

#include "codebooks/assign/assigner_kernel_simd.h"

/// For each set of lanes, their numbers in order, a byte each, lowest byte first.
struct CompressTable {
    std::uint64_t order[256];
};
constexpr CompressTable make_compress_table() {
    CompressTable table{};
    for (unsigned set = 0; set < 256; ++set) {
        int place = 0;
        for (unsigned lane = 0; lane < 8; ++lane)
            if ((set >> lane & 1U) != 0)
                table.order[set] |= static_cast<std::uint64_t>(lane) << (8 * place++);
    }
    return table;
}
constexpr CompressTable compress_table = make_compress_table();

struct Avx2 {
    using F = __m256;
    using I = __m256i;
    using M = __m256;
    static constexpr int width = 8;
    static constexpr int queries = 4;
    static constexpr int vectors = 2;

    static F load(const float* p) { return _mm256_load_ps(p); }
    static F load_unaligned(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, F v) { _mm256_store_ps(p, v); }
    static void store(int* p, I v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
    static F broadcast(const float* p) { return _mm256_broadcast_ss(p); }
    static F infinity() { return _mm256_set1_ps(__builtin_inff()); }
    static I splat(int v) { return _mm256_set1_epi32(v); }
    static F fnmadd(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
    static F fmadd(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
    static F fmsub(F a, F b, F c) { return _mm256_fmsub_ps(a, b, c); }
    static F min(F a, F b) { return _mm256_min_ps(a, b); }
    static M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
    static M less_equal(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
    /// a < b, or a == b in a lane after `lane`.
    static M less_or_equal_after(F a, F b, int lane) {
        const M after = _mm256_castsi256_ps(_mm256_cmpgt_epi32(lanes(), splat(lane)));
        return _mm256_or_ps(less(a, b), _mm256_and_ps(after, less_equal(a, b)));
    }
    static bool any(M m) { return _mm256_movemask_ps(m) != 0; }
    static I blend(M m, I no, I yes) { return _mm256_blendv_epi8(no, yes, _mm256_castps_si256(m)); }
    static I increment(I v, M m) { return _mm256_sub_epi32(v, _mm256_castps_si256(m)); }
    static I lanes() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
    /// The lowest code + lane among the lanes of the least score.
    static std::uint32_t lowest_best(F score, I code) {
        F least = _mm256_min_ps(score, _mm256_permute2f128_ps(score, score, 1));
        least = _mm256_min_ps(least, _mm256_permute_ps(least, 0x4E));
        least = _mm256_min_ps(least, _mm256_permute_ps(least, 0xB1));
        const I equal = _mm256_castps_si256(_mm256_cmp_ps(score, least, _CMP_EQ_OQ));
        // Lanes that lose become 0xFFFFFFFF.
        I lowest =
            _mm256_or_si256(_mm256_add_epi32(code, lanes()), _mm256_xor_si256(equal, splat(-1)));
        lowest = _mm256_min_epu32(lowest, _mm256_permute2x128_si256(lowest, lowest, 1));
        lowest = _mm256_min_epu32(lowest, _mm256_shuffle_epi32(lowest, 0x4E));
        lowest = _mm256_min_epu32(lowest, _mm256_shuffle_epi32(lowest, 0xB1));
        return static_cast<std::uint32_t>(_mm256_cvtsi256_si32(lowest));
    }
    /// Appends the lanes of `m`, in order, with codes from `code` on; returns the new count. Writes
    /// whole vectors.
    static int append(M m, F score, int code, float* scores, std::uint32_t* codes, int count) {
        const auto bits = static_cast<unsigned>(_mm256_movemask_ps(m));
        const I order = _mm256_cvtepu8_epi32(
            _mm_cvtsi64_si128(static_cast<long long>(compress_table.order[bits])));
        _mm256_storeu_ps(scores + count, _mm256_permutevar8x32_ps(score, order));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + count),
                            _mm256_add_epi32(splat(code), order));
        return count + __builtin_popcount(bits);
    }
};

}  // namespace

const AssignerKernel assigner_kernel_avx2 = {nearest_entry<Avx2>, nearest_t_entry<Avx2>};

}  // namespace vq
