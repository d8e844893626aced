// SPDX-License-Identifier: Apache-2.0
// The batch kernel: 64 rows (4 registers of 16) times 6 vectors at a time, 24 sums in registers, so
// that a step of 4 columns is 24 vpdpbusd for 4 loads of weights and 6 broadcasts. Included by
// kernels_avx512vnni.cpp alone.
#pragma once

#include <immintrin.h>

#include "base/packed/activation.h"
#include "base/packed/panel.h"

namespace vq::decode::panel_kernel {

namespace {

template <int Tokens>
void block(const PanelWeights& w, const PanelInputs& x, Index quads, Index first, float* y,
           Index stride) {
    constexpr int parts = panel_rows / 16;
    constexpr Index token_quads = activation_group / 4;
    const std::uint32_t* inputs = x.quads + first * token_quads;
    __m512i sum[std::size_t{Tokens}][parts];
    for (int t = 0; t < Tokens; ++t)
        for (int k = 0; k < parts; ++k) sum[t][k] = _mm512_set1_epi32(-128 * x.sums[first + t]);
    for (Index q = 0; q < quads; ++q) {
        __m512i weights[parts];
        for (int k = 0; k < parts; ++k)
            weights[k] = _mm512_loadu_si512(w.bytes + q * 4 * panel_rows + 64 * k);
        for (int t = 0; t < Tokens; ++t) {
            const __m512i v = _mm512_set1_epi32(static_cast<int>(inputs[t * token_quads + q]));
            for (int k = 0; k < parts; ++k)
                sum[t][k] = _mm512_dpbusd_epi32(sum[t][k], weights[k], v);
        }
    }
    for (int t = 0; t < Tokens; ++t)
        for (int k = 0; k < parts; ++k) {
            const __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(w.row_scales + 16 * k),
                                               _mm512_set1_ps(x.scales[first + t]));
            float* to = y + (first + t) * stride + 16 * k;
            _mm512_storeu_ps(to,
                             _mm512_add_ps(_mm512_loadu_ps(to),
                                           _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum[t][k]))));
        }
}

void panel(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
           Index stride) {
    Index t = 0;
    for (; tokens - t >= 6; t += 6) block<6>(w, x, quads, t, y, stride);
    switch (tokens - t) {
        case 1: block<1>(w, x, quads, t, y, stride); break;
        case 2: block<2>(w, x, quads, t, y, stride); break;
        case 3: block<3>(w, x, quads, t, y, stride); break;
        case 4: block<4>(w, x, quads, t, y, stride); break;
        case 5: block<5>(w, x, quads, t, y, stride); break;
        default: break;
    }
}

float round_weights(const float* v, std::uint8_t* bytes) {
    __m512 largest = _mm512_setzero_ps();
    for (Index j = 0; j < activation_group; j += 16)
        largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(v + j)));
    const float most = _mm512_reduce_max_ps(largest);
    const __m512 inverse = _mm512_set1_ps(most > 0 ? 127.0F / most : 0);
    for (Index j = 0; j < activation_group; j += 16) {
        const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(v + j), inverse));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes + j),
                         _mm512_cvtepi32_epi8(_mm512_add_epi32(q, _mm512_set1_epi32(128))));
    }
    return most / 127.0F;
}

}  // namespace

}  // namespace vq::decode::panel_kernel
