// SPDX-License-Identifier: Apache-2.0
// The kernel of IQ4_NL: lanes are output rows, so that neither levels nor sums cross lanes. A load
// gives the indices of two quads of columns of 16 rows; a mask, a shuffle and a product each.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "codebooks/iq4nl/iq4nl.h"

namespace vq::decode {

namespace {

constexpr int parts = iq4nl_tile / 16;

__m512i level_table() {
    return _mm512_broadcast_i32x4(
        _mm_load_si128(reinterpret_cast<const __m128i*>(iq4nl_bytes.data())));
}

/// Levels of both quads of a dword of 16 rows.
struct Quads {
    __m512i low, high;
};
Quads quads_of(const std::uint8_t* block, Index dword, int part, __m512i table) {
    const __m512i codes = _mm512_loadu_si512(block + iq4nl_byte(16 * part, 8 * dword));
    const __m512i mask = _mm512_set1_epi8(15);
    return {_mm512_shuffle_epi8(table, _mm512_and_si512(codes, mask)),
            _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask))};
}

__m512i quad(const std::int8_t* activations) {
    std::int32_t four;
    __builtin_memcpy(&four, activations, sizeof(four));
    return _mm512_set1_epi32(four);
}

__m512 scales_of(const std::uint8_t* block, int part) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 32 * part)));
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const std::int32_t* block_sums = block_sums_in(inputs, s.cols);
    const __m512i table = level_table();
    __m512 total[parts];
    // Totals stay in registers: with a scale for 32 columns they are touched every few
    // instructions.
    for (int i = 0; i < parts; ++i) total[i] = _mm512_loadu_ps(y + 16 * i);
    for (Index b = 0; b < iq4nl_blocks(s); ++b) {
        const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, b);
        prefetch_after(block, iq4nl_unit);
        __m512i sum[parts];
        for (__m512i& v : sum) v = _mm512_set1_epi32(-iq4nl_offset * block_sums[b]);
        for (Index dword = 0; dword < iq4nl_block / 8; ++dword) {
            const __m512i first = quad(x.bytes + b * iq4nl_block + 8 * dword);
            const __m512i second = quad(x.bytes + b * iq4nl_block + 8 * dword + 4);
            for (int i = 0; i < parts; ++i) {
                const Quads w = quads_of(block, dword, i, table);
                sum[i] = _mm512_dpbusd_epi32(sum[i], w.low, first);
                sum[i] = _mm512_dpbusd_epi32(sum[i], w.high, second);
            }
        }
        const __m512 x_scale = _mm512_set1_ps(x.scales[b * iq4nl_block / activation_group]);
        for (int i = 0; i < parts; ++i)
            total[i] =
                _mm512_add_ps(total[i], _mm512_mul_ps(_mm512_mul_ps(scales_of(block, i), x_scale),
                                                      _mm512_cvtepi32_ps(sum[i])));
    }
    for (int i = 0; i < parts; ++i) _mm512_storeu_ps(y + 16 * i, total[i]);
}

PanelWeights panel(const Tensor& /*t*/, const Segment& s, Index row, Index /*count*/, Index col,
                   Index /*cols*/, PanelRoom& room) {
    const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, col / iq4nl_block);
    const __m512i table = level_table();
    for (Index dword = 0; dword < iq4nl_block / 8; ++dword)
        for (int i = 0; i < parts; ++i) {
            const Quads w = quads_of(block, dword, i, table);
            std::uint8_t* to = room.bytes + (2 * dword * panel_rows + 16 * i) * 4;
            _mm512_storeu_si512(to, w.low);
            _mm512_storeu_si512(to + panel_rows * 4, w.high);
        }
    for (int i = 0; i < parts; ++i) _mm512_storeu_ps(room.row_scales + 16 * i, scales_of(block, i));
    return {room.bytes, room.row_scales};
}

}  // namespace

const CodeKernels iq4nl_kernels_avx512vnni = {block_inputs, rows, panel};

}  // namespace vq::decode
