// SPDX-License-Identifier: Apache-2.0
// The kernel of scalar grids: lanes are output rows, a dword holds 32 / bits codes of a row. A
// shift brings four codes of every row to the lowest bits of their bytes, vpermb makes values of
// them (its index has 6 bits, and the table repeats, so that nothing is masked), vpdpbusd
// multiplies: three instructions for 64 weights.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "codebooks/scalar/grid.h"

namespace vq::decode {

namespace {

constexpr int parts = grid_tile / 16;

struct Step {
    const std::uint8_t* codes;

    __m512i word(int dword, int part) const {
        return _mm512_loadu_si512(codes + (dword * parts + part) * 64);
    }
};

/// Calls f(quad, part, bytes): the values of 4 columns of 16 rows. 1, 2 or 4 bits: the fields of a
/// byte are of columns 4 apart.
template <int Bits, class F>
void fields(const Step& step, __m512i values, const F& f) {
    constexpr int count = 8 / Bits;
    for (int d = 0; d < Bits; ++d)
        for (int n = 0; n < count; ++n)
            for (int i = 0; i < parts; ++i) {
                const __m512i code = _mm512_srli_epi16(step.word(d, i), Bits * n);
                f(d * count + n, i, _mm512_permutexvar_epi8(code, values));
            }
}

/// 3 bits: two dwords of the low 2 bits, one of the highest.
template <class F>
void fields_of_3(const Step& step, __m512i values, const F& f) {
    const __m512i third = _mm512_set1_epi8(4);
    for (int n = 0; n < 8; ++n)
        for (int i = 0; i < parts; ++i) {
            const __m512i low = _mm512_srli_epi16(step.word(n / 4, i), 2 * (n % 4));
            const __m512i word = step.word(2, i);
            const __m512i high =
                n < 2 ? _mm512_slli_epi16(word, 2 - n) : _mm512_srli_epi16(word, n - 2);
            // Bit 2 from the one, bits 0 and 1 from the other; the index's higher bits do not
            // matter.
            const __m512i code = _mm512_ternarylogic_epi32(third, high, low, 0xCA);
            f(n, i, _mm512_permutexvar_epi8(code, values));
        }
}

template <int Bits, class F>
void fields_of(const Step& step, __m512i values, const F& f) {
    if constexpr (Bits == 3)
        fields_of_3(step, values, f);
    else
        fields<Bits>(step, values, f);
}

template <int Bits>
void rows_of(const GridSegment& s, const ByteActivations& x, Index tile, Index begin, Index end,
             float* y) {
    constexpr Index steps_a_group = activation_group / grid_step;
    const __m512i values = _mm512_load_si512(s.table->bytes);
    for (Index g = begin; g < end; ++g) {
        __m512i sum[parts];
        for (__m512i& v : sum) v = _mm512_set1_epi32(-grid_offset * x.sums[g]);
        const Index last =
            grid_steps(s) < (g + 1) * steps_a_group ? grid_steps(s) : (g + 1) * steps_a_group;
        for (Index k = g * steps_a_group; k < last; ++k) {
            prefetch_after(grid_codes(s, tile, k), 4 * grid_tile * Bits);
            __m512i quads[grid_step / 4];  // four activations in every lane
            for (Index q = 0; q < grid_step / 4; ++q) {
                std::int32_t quad;
                __builtin_memcpy(&quad, x.bytes + k * grid_step + 4 * q, sizeof(quad));
                quads[q] = _mm512_set1_epi32(quad);
            }
            fields_of<Bits>({grid_codes(s, tile, k)}, values, [&](int q, int i, __m512i bytes) {
                sum[i] = _mm512_dpbusd_epi32(sum[i], bytes, quads[q]);
            });
        }
        const __m512 factor = _mm512_set1_ps(x.scales[g] * s.table->step);
        for (int i = 0; i < parts; ++i)
            _mm512_storeu_ps(y + 16 * i,
                             _mm512_add_ps(_mm512_loadu_ps(y + 16 * i),
                                           _mm512_mul_ps(factor, _mm512_cvtepi32_ps(sum[i]))));
    }
}

void tile_rows(const GridSegment& s, const ByteActivations& x, Index tile, Index begin, Index end,
               float* y) {
    switch (s.bits) {
        case 1: rows_of<1>(s, x, tile, begin, end, y); break;
        case 2: rows_of<2>(s, x, tile, begin, end, y); break;
        case 3: rows_of<3>(s, x, tile, begin, end, y); break;
        default: rows_of<4>(s, x, tile, begin, end, y); break;
    }
}

template <int Bits>
void panel_of(const GridSegment& s, Index tile, Index first, Index quads, std::uint8_t* to) {
    const __m512i values = _mm512_load_si512(s.table->bytes);
    // Whole steps: what comes after the last column is never used.
    for (Index q = 0; q < quads; q += grid_step / 4, to += grid_step * grid_tile)
        fields_of<Bits>({grid_codes(s, tile, first + q * 4 / grid_step)}, values,
                        [&](int quad, int i, __m512i bytes) {
                            _mm512_storeu_si512(to + (quad * parts + i) * 64, bytes);
                        });
}

void rows(const Tensor& t, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    grid_rows(t, grid_segment(s), inputs, row, y, tile_rows);
}

PanelWeights panel(const Tensor& t, const Segment& any, Index row, Index /*count*/, Index col,
                   Index cols, PanelRoom& room) {
    const GridSegment& s = grid_segment(any);
    const Index tile = row / grid_tile;
    const Index first = col / grid_step;
    const Index quads = ceil_div(cols, 4);
    switch (s.bits) {
        case 1: panel_of<1>(s, tile, first, quads, room.bytes); break;
        case 2: panel_of<2>(s, tile, first, quads, room.bytes); break;
        case 3: panel_of<3>(s, tile, first, quads, room.bytes); break;
        default: panel_of<4>(s, tile, first, quads, room.bytes); break;
    }
    step_scales(t, row, s.col0 + col, s.table->step, room.row_scales);
    return {room.bytes, room.row_scales};
}

}  // namespace

const CodeKernels grid_kernels_avx512vnni = {byte_inputs, rows, panel};

}  // namespace vq::decode
