// SPDX-License-Identifier: Apache-2.0
// The kernel of tables of codewords: eight codes are unpacked to 64-bit lanes, a gather brings
// their codewords of 8 bytes. Vectors along inputs are then multiplied with 64 activations by one
// vpdpbusd, four rows at a time, so that their horizontal sums share instructions. Vectors along
// outputs are eight columns of eight rows, which one vpermb transposes. The time is that of the
// gathers: 8 loads from L1 or L2 for 64 weights.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "codebooks/residual/table.h"

namespace vq::decode {

namespace {

/// Brings one stage's fields of 8 codes, which begin at a whole byte, to 64-bit lanes.
struct Unpack {
    void prepare(const TableSegment& s, int stage) {
        alignas(64) std::uint8_t from[64];
        alignas(64) std::uint64_t by[8];
        int skip = 0;
        for (int m = 0; m < stage; ++m) skip += s.stage_bits[m];
        for (int i = 0; i < 8; ++i) {
            for (int k = 0; k < 8; ++k)
                from[8 * i + k] = static_cast<std::uint8_t>((i * s.bits / 8 + k) & 63);
            by[i] = static_cast<std::uint64_t>(i * s.bits % 8) + static_cast<std::uint64_t>(skip);
        }
        bytes = _mm512_load_si512(from);
        shifts = _mm512_load_si512(by);
        mask = _mm512_set1_epi64((1 << s.stage_bits[stage]) - 1);
    }
    __m512i operator()(const std::uint8_t* codes) const {
        const __m512i words = _mm512_permutexvar_epi8(bytes, _mm512_loadu_si512(codes));
        return _mm512_and_si512(_mm512_srlv_epi64(words, shifts), mask);
    }
    __m512i bytes;
    __m512i shifts;
    __m512i mask;
};

__m512i gather(const std::uint8_t* words, __m512i entries) {
    return _mm512_i64gather_epi64(entries, words, 8);
}

/// The sums of all lanes of each of four registers.
__m128i sums_of(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/// Four rows, or fewer: those beyond `count` repeat the last and are not stored.
void inputs(const TableSegment& s, const Unpack* unpack, const ByteActivations& x, Index row,
            Index count, float* y) {
    const std::uint8_t* codes[4];
    for (Index r = 0; r < 4; ++r) codes[r] = table_codes(s, row + (r < count ? r : count - 1));
    const auto stored = static_cast<__mmask8>((1u << count) - 1u);
    __m128 out = _mm_maskz_loadu_ps(stored, y);
    const Index blocks = ceil_div(s.groups(), table_block);
    // Stages take turns within a block, as in the reference.
    for (Index b = 0; b < blocks; ++b)
        for (int m = 0; m < s.stages; ++m) {
            const std::uint8_t* words = s.vectors[m]->bytes.data();
            __m512i sum[4] = {};
            for (Index h = 0; h < 2 && (2 * b + h) * 8 < s.groups(); ++h) {
                if (m == 0)
                    for (int r = 0; r < 4; ++r)
                        prefetch_after(codes[r] + (2 * b + h) * s.bits, s.bits);
                const __m512i in = _mm512_loadu_si512(x.bytes + (2 * b + h) * 64);
                for (int r = 0; r < 4; ++r)
                    sum[r] = _mm512_dpbusd_epi32(
                        sum[r], gather(words, unpack[m](codes[r] + (2 * b + h) * s.bits)), in);
            }
            const __m128i total = _mm_sub_epi32(sums_of(sum[0], sum[1], sum[2], sum[3]),
                                                _mm_set1_epi32(table_offset * x.sums[b]));
            out = _mm_add_ps(out, _mm_mul_ps(_mm_set1_ps(x.scales[b] * s.vectors[m]->step),
                                             _mm_cvtepi32_ps(total)));
        }
    _mm_mask_storeu_ps(y, stored, out);
}

/// One band of `dim` rows.
void outputs(const TableSegment& s, const Unpack* unpack, const ByteActivations& x, Index band,
             float* y) {
    alignas(64) std::uint8_t order[64];  // transposes 8 x 8 bytes
    for (int i = 0; i < 64; ++i) order[i] = static_cast<std::uint8_t>(i % 8 * 8 + i / 8);
    const __m512i transpose = _mm512_load_si512(order);
    const auto stored = static_cast<__mmask8>((1u << s.dim) - 1u);
    const std::uint8_t* codes = table_codes(s, band);
    __m256 out = _mm256_maskz_loadu_ps(stored, y);
    for (Index g = 0; g * activation_group < s.cols; ++g) {
        const Index begin = g * (activation_group / 8);
        const Index whole = ceil_div(s.cols, 8);
        const Index end =
            whole < begin + activation_group / 8 ? whole : begin + activation_group / 8;
        for (int m = 0; m < s.stages; ++m) {
            const std::uint8_t* words = s.vectors[m]->bytes.data();
            __m512i sum[2] = {};  // in turns, so that no sum waits for the one before
            for (Index q = begin; q < end; ++q) {
                std::int64_t eight;
                __builtin_memcpy(&eight, x.bytes + 8 * q, sizeof(eight));
                const __m512i columns = _mm512_permutexvar_epi8(
                    transpose, gather(words, unpack[m](codes + q * s.bits)));
                sum[q % 2] = _mm512_dpbusd_epi32(sum[q % 2], columns, _mm512_set1_epi64(eight));
            }
            const __m512i pairs = _mm512_add_epi32(sum[0], sum[1]);
            const __m256i total = _mm256_sub_epi32(
                _mm512_cvtepi64_epi32(_mm512_add_epi32(pairs, _mm512_srli_epi64(pairs, 32))),
                _mm256_set1_epi32(table_offset * x.sums[g]));
            out = _mm256_add_ps(out, _mm256_mul_ps(_mm256_set1_ps(x.scales[g] * s.vectors[m]->step),
                                                   _mm256_cvtepi32_ps(total)));
        }
    }
    _mm256_mask_storeu_ps(y, stored, out);
}

void band_rows(const TableSegment& s, const ByteActivations& x, Index row, Index count, float* y) {
    Unpack unpack[most_stages];
    for (int m = 0; m < s.stages; ++m) unpack[m].prepare(s, m);
    if (s.along_outputs)
        for (Index r = 0; r < count; ++r) outputs(s, unpack, x, row + r, y + r * s.dim);
    else
        for (Index r = 0; r < count; r += 4)
            inputs(s, unpack, x, row + r, count - r < 4 ? count - r : 4, y + r);
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index count,
          float* y) {
    const TableSegment& s = table_segment(any);
    const Index height = s.along_outputs ? s.dim : 1;
    band_rows(s, activations_in(inputs, table_room(s)), row / height, count / height, y);
}

}  // namespace

const CodeKernels table_kernels_avx512vnni = {table_inputs, rows, nullptr};

}  // namespace vq::decode
