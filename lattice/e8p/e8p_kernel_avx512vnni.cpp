// SPDX-License-Identifier: Apache-2.0
// The E8P kernel: 64 rows of a group of 8 columns at a time, lanes are output rows. Each of the
// four bytes of nibbles of 64 codes takes two vpermi2b in the table of patterns and one in that of
// signs; unpacking puts the four bytes of a row side by side; vpermb makes bytes of nibbles (its
// index has 6 bits, of which the table ignores 2, so that nothing is masked), and vpdpbusd
// multiplies. About 50 instructions for 512 weights.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "lattice/e8p/e8p.h"

namespace vq::decode {

namespace {

/// 64 entries of a table of 256.
__m512i look_up(const std::uint8_t* table, __m512i code, __mmask64 upper) {
    const __m512i low =
        _mm512_permutex2var_epi8(_mm512_load_si512(table), code, _mm512_load_si512(table + 64));
    const __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), code,
                                                  _mm512_load_si512(table + 192));
    return _mm512_mask_blend_epi8(upper, low, high);
}

/// The four bytes of nibbles of 64 codes of a stage.
template <int Kind>
void nibbles(const E8pTables& t, const std::uint8_t* codes, __m512i (&byte)[4]) {
    const __m512i code = _mm512_loadu_si512(codes);
    const __mmask64 upper = _mm512_movepi8_mask(code);
    if constexpr (Kind == 0) {
        const __m512i high = _mm512_loadu_si512(codes + e8p_tile);
        const __m512i shift =
            _mm512_maskz_mov_epi8(_mm512_movepi8_mask(high), _mm512_set1_epi8('\x88'));
        for (int j = 0; j < 4; ++j) {
            const __m512i signs = _mm512_permutex2var_epi8(_mm512_load_si512(t.sign_bytes[j]), high,
                                                           _mm512_load_si512(t.sign_bytes[j] + 64));
            byte[j] = _mm512_ternarylogic_epi32(look_up(t.pattern_bytes[j], code, upper), signs,
                                                shift, 0x96);  // xor of all three
        }
    } else {
        for (int j = 0; j < 4; ++j) byte[j] = look_up(t.short_bytes[j], code, upper);
    }
}

/// Calls f(part, low, high): nibbles of dimensions 0-3 and 4-7 of 16 rows, to be looked up.
template <int Kind, class F>
void rows_of_nibbles(const E8pTables& t, const std::uint8_t* codes, const F& f) {
    __m512i byte[4];
    nibbles<Kind>(t, codes, byte);
    for (int half = 0; half < 2; ++half) {
        const __m512i a = half == 0 ? _mm512_unpacklo_epi8(byte[0], byte[1])
                                    : _mm512_unpackhi_epi8(byte[0], byte[1]);
        const __m512i b = half == 0 ? _mm512_unpacklo_epi8(byte[2], byte[3])
                                    : _mm512_unpackhi_epi8(byte[2], byte[3]);
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
            const __m512i row =
                i % 2 == 0 ? _mm512_unpacklo_epi16(a, b) : _mm512_unpackhi_epi16(a, b);
            f(i, row, _mm512_srli_epi16(row, 4));
        }
    }
}

/// Adds the products of 64 codes of a stage with 8 activations.
template <int Kind>
void stage(const E8pTables& t, const std::uint8_t* codes, __m512i low, __m512i high,
           __m512i (&sum)[4]) {
    const __m512i values = _mm512_load_si512(t.values[Kind]);
    rows_of_nibbles<Kind>(t, codes, [&](int i, __m512i first, __m512i second) {
        sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_permutexvar_epi8(first, values), low);
        sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_permutexvar_epi8(second, values), high);
    });
}

void add(const __m512i (&sum)[4], float factor, float* y) {
    for (int i = 0; i < 4; ++i)
        _mm512_storeu_ps(y + 16 * i, _mm512_add_ps(_mm512_loadu_ps(y + 16 * i),
                                                   _mm512_mul_ps(_mm512_set1_ps(factor),
                                                                 _mm512_cvtepi32_ps(sum[i]))));
}

/// Second: the kind of the second stage, or -1.
template <int Second>
void rows_of(const E8pSegment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index vectors_a_group = activation_group / 8;
    const E8pTables& t = e8p_tables();
    const Index unit = e8p_unit(s);
    const std::uint8_t* codes = e8p_codes(s, tile, 0);
    const auto quad = [&](Index i) {
        std::int32_t four;
        __builtin_memcpy(&four, x.bytes + 4 * i, sizeof(four));
        return _mm512_set1_epi32(four);
    };
    for (Index g = 0; g * vectors_a_group < s.groups(); ++g) {
        const Index begin = g * vectors_a_group;
        const Index end =
            s.groups() < begin + vectors_a_group ? s.groups() : begin + vectors_a_group;
        const __m512i bias = _mm512_set1_epi32(-e8p_offset * x.sums[g]);
        __m512i first[4] = {bias, bias, bias, bias};
        __m512i second[4] = {bias, bias, bias, bias};
        for (Index v = begin; v < end; ++v, codes += unit) {
            prefetch_after(codes, unit);
            const __m512i low = quad(2 * v);
            const __m512i high = quad(2 * v + 1);
            stage<0>(t, codes, low, high, first);
            if constexpr (Second >= 0) stage<Second>(t, codes + 2 * e8p_tile, low, high, second);
        }
        add(first, x.scales[g] * e8p_step(s, 0), y);
        if constexpr (Second >= 0) add(second, x.scales[g] * e8p_step(s, 1), y);
    }
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const E8pSegment& s = e8p_segment(any);
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const Index tile = row / e8p_tile;
    if (s.stages == 1)
        rows_of<-1>(s, x, tile, y);
    else if (e8p_stage_kind(s, 1) == 0)
        rows_of<0>(s, x, tile, y);
    else
        rows_of<1>(s, x, tile, y);
}

/// Of codes of one stage.
PanelWeights panel(const Tensor& /*t*/, const Segment& any, Index row, Index /*count*/, Index col,
                   Index cols, PanelRoom& room) {
    const E8pSegment& s = e8p_segment(any);
    const E8pTables& t = e8p_tables();
    const __m512i values =
        _mm512_add_epi8(_mm512_load_si512(t.values[0]), _mm512_set1_epi8(e8p_to_panel));
    const std::uint8_t* codes = e8p_codes(s, row / e8p_tile, col / 8);
    std::uint8_t* bytes = room.bytes;
    for (Index j = 0; j < cols; j += 8, codes += e8p_unit(s), bytes += 8 * e8p_tile)
        rows_of_nibbles<0>(t, codes, [&](int i, __m512i low, __m512i high) {
            _mm512_storeu_si512(bytes + 64 * i, _mm512_permutexvar_epi8(low, values));
            _mm512_storeu_si512(bytes + 64 * (4 + i), _mm512_permutexvar_epi8(high, values));
        });
    const float step = e8p_step(s, 0);
    for (float& scale : room.row_scales) scale = step;
    return {room.bytes, room.row_scales};
}

}  // namespace

const CodeKernels e8p_kernels_avx512vnni = {byte_inputs, rows, panel};

}  // namespace vq::decode
