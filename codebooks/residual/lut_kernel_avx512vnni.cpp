// SPDX-License-Identifier: Apache-2.0
// The lookup-table kernel: 64 rows a step. A table of 256 bytes is four registers; two vpermi2b
// (two cycles each on the one shuffle port) and a blend look up 64 codes, which three operations
// add to 16-bit sums. About 11 instructions for 64 codes, so that a core asks for its share of the
// memory's bandwidth.
#include <immintrin.h>

#include "codebooks/residual/lut.h"

namespace vq::decode {

namespace {

/// Dot products of 16 codewords with one group's activations (pairs of 16-bit integers).
template <int D>
__m512i products(const std::int16_t* words, const __m512i* x, int pairs) {
    __m512i sum = _mm512_setzero_si512();
    for (int j = 0; j < (D > 0 ? D / 2 : pairs); ++j)
        sum = _mm512_dpwssd_epi32(sum, _mm512_loadu_si512(words + 32 * j), x[j]);
    return sum;
}

template <int D>
void tables_of(const LutSegment& s, const float* x, Index block, const LutBuffers& tables) {
    LutInputs in;
    quantize_lut_inputs(s, x, block, in);
    const int pairs = s.dim / 2;
    Index codewords = 0;
    for (int m = 0; m < s.stages; ++m) codewords += Index{1} << s.stage_bits[m];
    const std::int16_t* const words = s.lut->words.data();
    const auto inputs = [&](Index g, __m512i* broadcast) {
        for (int j = 0; j < pairs; ++j) {
            std::int32_t pair;
            __builtin_memcpy(&pair, in.words + g * s.dim + 2 * j, sizeof(pair));
            broadcast[j] = _mm512_set1_epi32(pair);
        }
    };
    // The first round finds the largest product of the block, the second rounds by it. Products are
    // computed twice, not kept: those of 16 groups would take 32 KB and more, all of the L1 cache.
    __m512i largest = _mm512_setzero_si512();
    __m512i group[8];
    for (Index g = 0; g < in.groups; ++g) {
        inputs(g, group);
        for (Index e = 0; e < codewords; e += 16)
            largest = _mm512_max_epi32(
                largest, _mm512_abs_epi32(products<D>(words + e * s.dim, group, pairs)));
    }
    const std::int32_t most = _mm512_reduce_max_epi32(largest);
    const __m512 inverse = _mm512_set1_ps(lut_inverse(most));
    const __m512i middle = _mm512_set1_epi32(128);
    std::uint8_t* out = tables.bytes + block * lut_block * codewords;
    for (Index g = 0; g < in.groups; ++g) {
        inputs(g, group);
        for (Index e = 0; e < codewords; e += 16, out += 16) {
            const __m512 t = _mm512_cvtepi32_ps(products<D>(words + e * s.dim, group, pairs));
            const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(t, inverse));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                             _mm512_cvtepi32_epi8(_mm512_add_epi32(rounded, middle)));
        }
    }
    tables.scales[block] = lut_scale(s, in, most);
}

void inputs(const Kernels& /*shared*/, const Segment& any, const float* x, Index block, void* to) {
    const LutSegment& s = lut_segment(any);
    if (s.dim == 8)
        tables_of<8>(s, x, block, lut_buffers_in(to, s));
    else
        tables_of<0>(s, x, block, lut_buffers_in(to, s));
}

struct Table {
    __m512i part[4];
    explicit Table(const std::uint8_t* bytes) {
        for (int i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(bytes + 64 * i);
    }
    __m512i at(__m512i codes, __mmask64 high) const {
        return _mm512_mask_blend_epi8(high, _mm512_permutex2var_epi8(part[0], codes, part[1]),
                                      _mm512_permutex2var_epi8(part[2], codes, part[3]));
    }
};

/// Sums of 64 rows: of all 16-bit words as they are (even byte + 256 odd byte, modulo 2^16), and of
/// the odd bytes. At most 16 groups x 8 stages x 255 < 2^16.
struct Sums {
    __m512i all = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
    void add(__m512i v) {
        all = _mm512_add_epi16(all, v);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(v, 8));
    }
    /// y[0..63] += scale * (sum - bias).
    void fold(float scale, std::int32_t bias, float* y) const {
        const __m512i even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
        const __m512i halves[2] = {even, odd};
        for (int h = 0; h < 4; ++h) {
            const __m512i wide =
                _mm512_cvtepu16_epi32(h % 2 == 0 ? _mm512_castsi512_si256(halves[h / 2])
                                                 : _mm512_extracti64x4_epi64(halves[h / 2], 1));
            const __m512 v = _mm512_cvtepi32_ps(_mm512_sub_epi32(wide, _mm512_set1_epi32(bias)));
            _mm512_storeu_ps(y + 16 * h, _mm512_add_ps(_mm512_loadu_ps(y + 16 * h),
                                                       _mm512_mul_ps(_mm512_set1_ps(scale), v)));
        }
    }
};

/// One stage with 2^extra tables of 256 entries for T tiles, whose codes lie `stride` apart: the
/// four registers of a table are loaded once for all of them.
template <int T>
void add_stage(const std::uint8_t* table, int extra, const std::uint8_t* codes, Index stride,
               Sums* sums) {
    if (extra == 0) {
        const Table entries(table);
        for (int t = 0; t < T; ++t) {
            const __m512i c = _mm512_loadu_si512(codes + t * stride);
            sums[t].add(entries.at(c, _mm512_movepi8_mask(c)));
        }
        return;
    }
    __m512i found[std::size_t{T}];
    for (int part = 0; part < 1 << extra; ++part) {
        const Table entries(table + 256 * part);
        for (int t = 0; t < T; ++t) {
            const std::uint8_t* at = codes + t * stride;
            const __m512i c = _mm512_loadu_si512(at);
            const __m512i v = entries.at(c, _mm512_movepi8_mask(c));
            __mmask64 mine = ~__mmask64{0};
            for (int plane = 0; plane < extra; ++plane) {
                std::uint64_t bits;
                __builtin_memcpy(&bits, at + lut_tile + 8 * plane, sizeof(bits));
                mine &= (part >> plane & 1) != 0 ? bits : ~bits;
            }
            found[t] = part == 0 ? v : _mm512_mask_mov_epi8(found[t], mine, v);
        }
    }
    for (int t = 0; t < T; ++t) sums[t].add(found[t]);
}

/// T tiles of one block. The same tiles' codes of the next block lie `ahead` bytes further on: they
/// are asked for while these are worked on, since every block begins on another page.
template <int T>
void block_rows(const LutSegment& s, const std::uint8_t* table, const std::uint8_t* codes,
                Index groups, Index ahead, float scale, float* y) {
    Sums sums[std::size_t{T}];
    const Index unit = lut_unit(s);
    const Index stride = groups * unit;
    for (Index g = 0; g < groups; ++g) {
        for (int t = 0; t < T; ++t)
            for (Index i = 0; i < unit; i += 64)
                _mm_prefetch(reinterpret_cast<const char*>(codes + t * stride + ahead + i),
                             _MM_HINT_T0);
        for (int m = 0; m < s.stages; ++m) {
            add_stage<T>(table, s.stage_bits[m] - lut_least_bits, codes, stride, sums);
            codes += lut_stage_bytes(s.stage_bits[m]);
            table += Index{1} << s.stage_bits[m];
        }
    }
    const auto bias = static_cast<std::int32_t>(128 * groups * s.stages);
    for (int t = 0; t < T; ++t) sums[t].fold(scale, bias, y + t * lut_tile);
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index row_count,
          float* y) {
    const LutSegment& s = lut_segment(any);
    const LutTables tables = lut_tables_in(inputs, s);
    const Index tile = row / lut_tile;
    const Index count = row_count / lut_tile;
    const Index tiles = s.rows / lut_tile;
    const Index blocks = lut_blocks(s);
    for (Index b = 0; b < blocks; ++b) {
        const Index groups = lut_groups(s, b);
        const std::uint8_t* table = tables.bytes + b * lut_block * lut_table_bytes(s);
        for (Index t = 0; t < count;) {
            const std::uint8_t* codes = s.codes + lut_offset(s, tiles, b, tile + t);
            const Index ahead =
                b + 1 < blocks ? s.codes + lut_offset(s, tiles, b + 1, tile + t) - codes : 0;
            float* to = y + t * lut_tile;
            if (count - t >= 4) {
                block_rows<4>(s, table, codes, groups, ahead, tables.scales[b], to);
                t += 4;
            } else if (count - t >= 2) {
                block_rows<2>(s, table, codes, groups, ahead, tables.scales[b], to);
                t += 2;
            } else {
                block_rows<1>(s, table, codes, groups, ahead, tables.scales[b], to);
                t += 1;
            }
        }
    }
}

}  // namespace

const CodeKernels lut_kernels_avx512vnni = {inputs, rows, nullptr};

}  // namespace vq::decode
