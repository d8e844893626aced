// SPDX-License-Identifier: Apache-2.0
// Lookup tables for AVX2. Tables of 256 entries do not fit its shuffles, which have 16: lookups are
// scalar loads, tables are built with vectors.
#include <immintrin.h>

#include "codebooks/residual/lut.h"

namespace vq::decode {

namespace {

/// Dot products of 8 codewords with one group's activations.
__m256i products(const std::int16_t* words, const std::int16_t* x, int dim) {
    __m256i sum = _mm256_setzero_si256();
    for (int j = 0; j < dim; j += 2) {
        std::int32_t pair;
        __builtin_memcpy(&pair, x + j, sizeof(pair));
        const auto* from = reinterpret_cast<const __m256i*>(words + 16 * j);
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(_mm256_loadu_si256(from), _mm256_set1_epi32(pair)));
    }
    return sum;
}

void inputs(const Kernels& /*shared*/, const Segment& any, const float* x, Index block, void* to) {
    const LutSegment& s = lut_segment(any);
    const LutBuffers tables = lut_buffers_in(to, s);
    LutInputs in;
    quantize_lut_inputs(s, x, block, in);
    const Index codewords = lut_table_bytes(s);
    // The first round finds the largest product of the block, the second rounds by it. Products are
    // computed twice, not kept: those of 16 groups would take 32 KB and more, all of the L1 cache.
    const auto words = [&](Index e) {  // 8 codewords from e on: half of a run of 16
        return s.lut->words.data() + e / 16 * 16 * s.dim + e % 16 * 2;
    };
    __m256i largest = _mm256_setzero_si256();
    for (Index g = 0; g < in.groups; ++g)
        for (Index e = 0; e < codewords; e += 8)
            largest = _mm256_max_epi32(
                largest, _mm256_abs_epi32(products(words(e), in.words + g * s.dim, s.dim)));
    alignas(32) std::int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), largest);
    std::int32_t most = 0;
    for (const std::int32_t v : lanes) most = v > most ? v : most;
    const __m256 inverse = _mm256_set1_ps(lut_inverse(most));
    std::uint8_t* out = tables.bytes + block * lut_block * codewords;
    for (Index g = 0; g < in.groups; ++g)
        for (Index e = 0; e < codewords; e += 8) {
            const __m256 t = _mm256_cvtepi32_ps(products(words(e), in.words + g * s.dim, s.dim));
            _mm256_store_si256(reinterpret_cast<__m256i*>(lanes),
                               _mm256_cvtps_epi32(_mm256_mul_ps(t, inverse)));
            for (const std::int32_t v : lanes) *out++ = static_cast<std::uint8_t>(v + 128);
        }
    tables.scales[block] = lut_scale(s, in, most);
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index count,
          float* y) {
    const LutSegment& s = lut_segment(any);
    const LutTables tables = lut_tables_in(inputs, s);
    const Index tiles = s.rows / lut_tile;
    for (Index b = 0; b < lut_blocks(s); ++b) {
        const Index groups = lut_groups(s, b);
        const auto bias = static_cast<std::int32_t>(128 * groups * s.stages);
        for (Index r0 = 0; r0 < count; r0 += lut_tile) {
            // By position of the codes, which are read one after the other; the order of rows is
            // found again once a block. 16 bits hold 16 groups x 8 stages x 255.
            std::uint16_t sum[lut_tile] = {};
            const std::uint8_t* codes = s.codes + lut_offset(s, tiles, b, (row + r0) / lut_tile);
            const std::uint8_t* table = tables.bytes + b * lut_block * lut_table_bytes(s);
            for (Index g = 0; g < groups; ++g)
                for (int m = 0; m < s.stages; ++m) {
                    if (s.stage_bits[m] == lut_least_bits)
                        for (Index r = 0; r < lut_tile; ++r) sum[r] += table[codes[r]];
                    else
                        for (Index r = 0; r < lut_tile; ++r)
                            sum[lut_position(r)] += table[lut_field(codes, s.stage_bits[m], r)];
                    codes += lut_stage_bytes(s.stage_bits[m]);
                    table += Index{1} << s.stage_bits[m];
                }
            for (Index r = 0; r < lut_tile; ++r)
                y[r0 + r] += tables.scales[b] * static_cast<float>(sum[lut_position(r)] - bias);
        }
    }
}

}  // namespace

const CodeKernels lut_kernels_avx2 = {inputs, rows, nullptr};

}  // namespace vq::decode
