// SPDX-License-Identifier: Apache-2.0
// The E8P kernel of AVX2: 8 rows a register; the nibbles of 8 codes are gathered from the tables of
// 1 KB and 512 bytes, and a byte shuffle makes values of them.
#include <immintrin.h>

#include "lattice/e8p/e8p.h"

namespace vq::decode {

namespace {

__m256i gather(const std::uint32_t* table, __m256i index) {
    return _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), index, 4);
}

/// The codes' bytes of rows r0 .. r0 + 7 (a multiple of 8), a dword each.
__m256i bytes_of_rows(const std::uint8_t* plane, Index r0) {
    std::int32_t four[2];
    __builtin_memcpy(four, plane + e8p_position(r0), 4);
    __builtin_memcpy(four + 1, plane + e8p_position(r0 + 4), 4);
    return _mm256_cvtepu8_epi32(_mm_setr_epi32(four[0], four[1], 0, 0));
}

__m256i nibbles(const E8pTables& t, int kind, const std::uint8_t* codes, Index r0) {
    const __m256i low = bytes_of_rows(codes, r0);
    if (kind != 0) return gather(t.shorts, low);
    const __m256i high = bytes_of_rows(codes + e8p_tile, r0);
    const __m256i signs = gather(t.signs, _mm256_and_si256(high, _mm256_set1_epi32(127)));
    // Bit 7 as a mask of the whole dword.
    const __m256i down = _mm256_srai_epi32(_mm256_slli_epi32(high, 24), 31);
    const __m256i shift = _mm256_and_si256(down, _mm256_set1_epi8('\x88'));
    return _mm256_xor_si256(_mm256_xor_si256(gather(t.patterns, low), signs), shift);
}

/// Sums of values times four activations each. Values are bytes up to 36, so that two products, at
/// most 2 x 36 x 127, do not saturate the 16 bits of vpmaddubsw.
__m256i products(__m256i table, __m256i nibble, std::int32_t quad) {
    const __m256i values = _mm256_shuffle_epi8(table, nibble);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(values, _mm256_set1_epi32(quad)),
                             _mm256_set1_epi16(1));
}

void stage_rows(const E8pSegment& s, const ByteActivations& x, Index tile, int m, Index g,
                float* y) {
    constexpr Index vectors_a_group = activation_group / 8;
    const E8pTables& t = e8p_tables();
    const int kind = e8p_stage_kind(s, m);
    const Index begin = g * vectors_a_group;
    const Index end = s.groups() < begin + vectors_a_group ? s.groups() : begin + vectors_a_group;
    const __m256i table = _mm256_load_si256(reinterpret_cast<const __m256i*>(t.values[kind]));
    const __m256i low_nibble = _mm256_set1_epi8(15);
    const __m256 factor = _mm256_set1_ps(x.scales[g] * e8p_step(s, m));
    const __m256i bias = _mm256_set1_epi32(-e8p_offset * x.sums[g]);
    __m256i sum[e8p_tile / 8];
    for (__m256i& v : sum) v = bias;
    for (Index v = begin; v < end; ++v) {
        const std::uint8_t* codes = e8p_codes(s, tile, v) + (m == 0 ? 0 : 2 * e8p_tile);
        std::int32_t quad[2];
        __builtin_memcpy(quad, x.bytes + 8 * v, sizeof(quad));
        for (Index r0 = 0; r0 < e8p_tile; r0 += 8) {
            const __m256i word = nibbles(t, kind, codes, r0);
            const __m256i low = _mm256_and_si256(word, low_nibble);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(word, 4), low_nibble);
            sum[r0 / 8] = _mm256_add_epi32(
                sum[r0 / 8],
                _mm256_add_epi32(products(table, low, quad[0]), products(table, high, quad[1])));
        }
    }
    for (Index r0 = 0; r0 < e8p_tile; r0 += 8)
        _mm256_storeu_ps(y + r0,
                         _mm256_add_ps(_mm256_loadu_ps(y + r0),
                                       _mm256_mul_ps(factor, _mm256_cvtepi32_ps(sum[r0 / 8]))));
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const E8pSegment& s = e8p_segment(any);
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    for (Index g = 0; g * activation_group < s.cols; ++g)
        for (int m = 0; m < s.stages; ++m) stage_rows(s, x, row / e8p_tile, m, g, y);
}

}  // namespace

const CodeKernels e8p_kernels_avx2 = {byte_inputs, rows, e8p_panel};

}  // namespace vq::decode
