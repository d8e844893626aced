// SPDX-License-Identifier: Apache-2.0
// The kernel of tables of codewords: two codewords of 8 bytes at a time, as 16-bit integers, with
// vpmaddwd. Vectors along outputs are interleaved by pairs of columns, so that lanes are rows.
#include <immintrin.h>

#include "codebooks/residual/table.h"

namespace vq::decode {

namespace {

/// One stage's codewords by the codes of a row or band: what does not change from code to code.
/// Unsigned, so that positions in bits become bytes by a shift.
struct Stage {
    const std::uint8_t* words;
    const std::uint8_t* codes;
    std::uint64_t bits;  ///< of a whole code
    std::uint64_t skip;  ///< bits of the stages before
    std::uint64_t mask;

    Stage(const TableSegment& s, const std::uint8_t* row, int stage)
        : words(s.vectors[stage]->bytes.data()),
          codes(row),
          bits(static_cast<std::uint64_t>(s.bits)),
          skip(0),
          mask((std::uint64_t{1} << s.stage_bits[stage]) - 1) {
        for (int m = 0; m < stage; ++m) skip += static_cast<std::uint64_t>(s.stage_bits[m]);
    }
    __m128i word(Index i) const {
        const std::uint64_t at = static_cast<std::uint64_t>(i) * bits;
        std::uint64_t code;
        __builtin_memcpy(&code, codes + at / 8, sizeof(code));
        const std::uint64_t entry = code >> (at % 8 + skip) & mask;
        return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(words + entry * 8));
    }
};

float input_row(const TableSegment& s, const ByteActivations& x, const std::uint8_t* codes,
                float y) {
    for (Index b = 0; b * table_block < s.groups(); ++b)
        for (int m = 0; m < s.stages; ++m) {
            const Stage stage(s, codes, m);
            __m256i sum = _mm256_setzero_si256();
            // Beyond the last vector activations are zero, and codes are read that lie behind.
            for (Index i = b * table_block; i < (b + 1) * table_block && i < s.groups(); i += 2) {
                const __m128i two = _mm_unpacklo_epi64(stage.word(i), stage.word(i + 1));
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

void output_band(const TableSegment& s, const ByteActivations& x, const std::uint8_t* codes,
                 float* y) {
    for (Index g = 0; g * activation_group < s.cols; ++g) {
        const Index begin = g * activation_group;
        const Index end = s.cols < begin + activation_group ? s.cols : begin + activation_group;
        for (int m = 0; m < s.stages; ++m) {
            const Stage stage(s, codes, m);
            __m256i sum = _mm256_setzero_si256();
            for (Index j = begin; j < end; j += 2) {
                const __m128i two = _mm_unpacklo_epi8(stage.word(j), stage.word(j + 1));
                // Two activations side by side, as codewords of two columns are after unpacking.
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

void band_rows(const TableSegment& s, const ByteActivations& x, Index row, Index count, float* y) {
    for (Index r = 0; r < count; ++r) {
        const std::uint8_t* codes = table_codes(s, row + r);
        if (s.along_outputs)
            output_band(s, x, codes, y + r * s.dim);
        else
            y[r] = input_row(s, x, codes, y[r]);
    }
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index count,
          float* y) {
    const TableSegment& s = table_segment(any);
    const Index height = s.along_outputs ? s.dim : 1;
    band_rows(s, activations_in(inputs, table_room(s)), row / height, count / height, y);
}

}  // namespace

const CodeKernels table_kernels_avx2 = {table_inputs, rows, nullptr};

}  // namespace vq::decode
