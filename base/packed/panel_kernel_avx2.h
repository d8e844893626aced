// SPDX-License-Identifier: Apache-2.0
// The batch kernel for AVX2: 16 rows (2 registers) times 4 vectors at a time, 8 sums in registers
// (with 12 the compiler spills). Bytes times bytes would saturate in 16 bits, so that weights and
// activations are widened to pairs of 16-bit integers first, weights once a panel, activations once
// for 64 rows. Included by kernels_avx2.cpp alone.
#pragma once

#include <immintrin.h>

#include "base/packed/activation.h"
#include "base/packed/panel.h"

namespace vq::decode::panel_kernel_avx2 {

namespace {

constexpr Index token_quads = activation_group / 4;

/// [2 quad + odd][64 rows]: columns 0 and 2, or 1 and 3 of a quad.
using WidePanel = __m256i[2 * token_quads][panel_rows / 8];

template <int Tokens>
void block(const WidePanel& wide, const float* row_scales, const PanelInputs& x, Index quads,
           Index first, float* y, Index stride) {
    std::int32_t in[std::size_t{Tokens}][2 * token_quads];
    for (int t = 0; t < Tokens; ++t)
        for (Index q = 0; q < quads; ++q) {
            const std::uint32_t four = x.quads[(first + t) * token_quads + q];
            const auto byte = [&](int k) {
                return std::int32_t{static_cast<std::int8_t>(four >> (8 * k) & 0xFFu)};
            };
            in[t][2 * q] = (byte(0) & 0xFFFF) | byte(2) * 65536;
            in[t][2 * q + 1] = (byte(1) & 0xFFFF) | byte(3) * 65536;
        }
    for (int r = 0; r < panel_rows / 8; r += 2) {
        __m256i sum[std::size_t{Tokens}][2];
        for (int t = 0; t < Tokens; ++t)
            for (int k = 0; k < 2; ++k) sum[t][k] = _mm256_set1_epi32(-128 * x.sums[first + t]);
        for (Index c = 0; c < 2 * quads; ++c) {
            const __m256i w0 = wide[c][r];
            const __m256i w1 = wide[c][r + 1];
            for (int t = 0; t < Tokens; ++t) {
                const __m256i v = _mm256_set1_epi32(in[t][c]);
                sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(w0, v));
                sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(w1, v));
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int k = 0; k < 2; ++k) {
                const Index row = Index{8} * (r + k);
                const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(row_scales + row),
                                                   _mm256_set1_ps(x.scales[first + t]));
                float* to = y + (first + t) * stride + row;
                _mm256_storeu_ps(
                    to, _mm256_add_ps(_mm256_loadu_ps(to),
                                      _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum[t][k]))));
            }
    }
}

void panel(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
           Index stride) {
    WidePanel wide;
    for (Index q = 0; q < quads; ++q)
        for (Index r = 0; r < panel_rows / 8; ++r) {
            const __m256i v = _mm256_loadu_si256(
                reinterpret_cast<const __m256i*>(w.bytes + (q * panel_rows + 8 * r) * 4));
            wide[2 * q][r] = _mm256_and_si256(v, _mm256_set1_epi16(0x00FF));
            wide[2 * q + 1][r] = _mm256_srli_epi16(v, 8);
        }
    Index t = 0;
    for (; tokens - t >= 4; t += 4) block<4>(wide, w.row_scales, x, quads, t, y, stride);
    switch (tokens - t) {
        case 1: block<1>(wide, w.row_scales, x, quads, t, y, stride); break;
        case 2: block<2>(wide, w.row_scales, x, quads, t, y, stride); break;
        case 3: block<3>(wide, w.row_scales, x, quads, t, y, stride); break;
        default: break;
    }
}

}  // namespace

}  // namespace vq::decode::panel_kernel_avx2
