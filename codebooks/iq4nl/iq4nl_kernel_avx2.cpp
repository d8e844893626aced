// SPDX-License-Identifier: Apache-2.0
// The kernel of IQ4_NL for AVX2: as that of AVX-512, 8 rows a register.
#include <immintrin.h>

#include "base/packed/prefetch.h"
#include "base/packed/quad_avx2.h"
#include "codebooks/iq4nl/iq4nl.h"

namespace vq::decode {

namespace {

constexpr int parts = iq4nl_tile / 8;

__m256i level_table() {
    return _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(iq4nl_bytes.data())));
}

/// Levels of both quads of a dword of 8 rows.
struct Quads {
    __m256i low, high;
};
Quads quads_of(const std::uint8_t* block, Index dword, int part, __m256i table) {
    const __m256i codes = _mm256_loadu_si256(
        reinterpret_cast<const __m256i*>(block + iq4nl_byte(8 * part, 8 * dword)));
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_shuffle_epi8(table, _mm256_and_si256(codes, mask)),
            _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask))};
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const std::int32_t* block_sums = block_sums_in(inputs, s.cols);
    const __m256i table = level_table();
    for (Index b = 0; b < iq4nl_blocks(s); ++b) {
        const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, b);
        prefetch_after(block, iq4nl_unit);
        __m256i sum[parts];
        for (__m256i& v : sum) v = _mm256_set1_epi32(-iq4nl_offset * block_sums[b]);
        for (Index dword = 0; dword < iq4nl_block / 8; ++dword) {
            const QuadAvx2 first(x.bytes + b * iq4nl_block + 8 * dword);
            const QuadAvx2 second(x.bytes + b * iq4nl_block + 8 * dword + 4);
            for (int i = 0; i < parts; ++i) {
                const Quads w = quads_of(block, dword, i, table);
                sum[i] = _mm256_add_epi32(sum[i],
                                          _mm256_add_epi32(first.dot(w.low), second.dot(w.high)));
            }
        }
        const __m256 x_scale = _mm256_set1_ps(x.scales[b * iq4nl_block / activation_group]);
        for (int i = 0; i < parts; ++i) {
            const __m256 scale =
                _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * i)));
            _mm256_storeu_ps(y + 8 * i, _mm256_add_ps(_mm256_loadu_ps(y + 8 * i),
                                                      _mm256_mul_ps(_mm256_mul_ps(scale, x_scale),
                                                                    _mm256_cvtepi32_ps(sum[i]))));
        }
    }
}

PanelWeights panel(const Tensor& /*t*/, const Segment& s, Index row, Index /*count*/, Index col,
                   Index /*cols*/, PanelRoom& room) {
    const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, col / iq4nl_block);
    const __m256i table = level_table();
    for (Index dword = 0; dword < iq4nl_block / 8; ++dword)
        for (int i = 0; i < parts; ++i) {
            const Quads w = quads_of(block, dword, i, table);
            std::uint8_t* to = room.bytes + (2 * dword * panel_rows + 8 * i) * 4;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), w.low);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + panel_rows * 4), w.high);
        }
    for (int i = 0; i < parts; ++i)
        _mm256_storeu_ps(
            room.row_scales + 8 * i,
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * i))));
    return {room.bytes, room.row_scales};
}

}  // namespace

const CodeKernels iq4nl_kernels_avx2 = {block_inputs, rows, panel};

}  // namespace vq::decode
