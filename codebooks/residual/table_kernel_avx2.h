// The kernel of tables of codewords: two codewords of 8 bytes at a time, as 16-bit integers, with
// vpmaddwd. Vectors along outputs are interleaved by pairs of columns, so that lanes are rows.
// Included by kernels_avx2.cpp alone.
#pragma once

#include <immintrin.h>

#include "base/packed/activation.h"
#include "codebooks/residual/table.h"

namespace vq::decode::table_kernel_avx2 {

namespace {

__m128i word_of(const Segment& s, const std::uint8_t* codes, Index i, int stage) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(
        s.vectors[stage]->bytes.data() + Index{table_entry(s, codes, i, stage)} * 8));
}

float input_row(const Segment& s, const ByteActivations& x, const std::uint8_t* codes, float y) {
    for (Index b = 0; b * table_block < s.groups(); ++b)
        for (int m = 0; m < s.stages; ++m) {
            __m256i sum = _mm256_setzero_si256();
            // Beyond the last vector activations are zero, and codes are read that lie behind.
            for (Index i = b * table_block; i < (b + 1) * table_block && i < s.groups(); i += 2) {
                const __m128i two =
                    _mm_unpacklo_epi64(word_of(s, codes, i, m), word_of(s, codes, i + 1, m));
                const __m128i in =
                    _mm_loadu_si128(reinterpret_cast<const __m128i*>(x.bytes + 8 * i));
                sum = _mm256_add_epi32(
                    sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(two), _mm256_cvtepi8_epi16(in)));
            }
            __m128i total =
                _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
            total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
            total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
            const std::int32_t whole = _mm_cvtsi128_si32(total) - table_offset * x.sums[b];
            y += x.scales[b] * s.vectors[m]->step * static_cast<float>(whole);
        }
    return y;
}

void output_band(const Segment& s, const ByteActivations& x, const std::uint8_t* codes, float* y) {
    for (Index g = 0; g * activation_group < s.cols; ++g) {
        const Index begin = g * activation_group;
        const Index end = s.cols < begin + activation_group ? s.cols : begin + activation_group;
        for (int m = 0; m < s.stages; ++m) {
            __m256i sum = _mm256_setzero_si256();
            for (Index j = begin; j < end; j += 2) {
                const __m128i two =
                    _mm_unpacklo_epi8(word_of(s, codes, j, m), word_of(s, codes, j + 1, m));
                const auto low = static_cast<std::uint16_t>(std::int16_t{x.bytes[j]});
                const std::uint32_t pair =
                    low | static_cast<std::uint32_t>(std::int32_t{x.bytes[j + 1]}) << 16;
                sum = _mm256_add_epi32(
                    sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(two),
                                           _mm256_set1_epi32(static_cast<std::int32_t>(pair))));
            }
            const __m256 out = _mm256_cvtepi32_ps(
                _mm256_sub_epi32(sum, _mm256_set1_epi32(table_offset * x.sums[g])));
            alignas(32) float values[8];
            _mm256_store_ps(values,
                            _mm256_mul_ps(_mm256_set1_ps(x.scales[g] * s.vectors[m]->step), out));
            for (int k = 0; k < s.dim; ++k) y[k] += values[k];
        }
    }
}

void rows(const Segment& s, const ByteActivations& x, Index row, Index count, float* y) {
    for (Index r = 0; r < count; ++r) {
        const std::uint8_t* codes = table_codes(s, row + r);
        if (s.along_outputs)
            output_band(s, x, codes, y + r * s.dim);
        else
            y[r] = input_row(s, x, codes, y[r]);
    }
}

}  // namespace

}  // namespace vq::decode::table_kernel_avx2
