// SPDX-License-Identifier: Apache-2.0
// AVX-512 as in kernels_avx512vnni.cpp, and panels of batches on tiles of int8 (AMX): panels as
// they lie are what tdpbsud reads, 16 quads of columns times 16 rows of weights, and activations
// are its other operand. A block of 32 vectors and 32 rows of weights is 4 tiles of sums. What is
// left of fewer than 16 vectors goes to the AVX-512 kernel, whose integer sums are the same.
#include <immintrin.h>

#include <cstring>

#include "base/packed/kernels.h"

namespace vq::decode {

namespace {

constexpr Index tile_tokens = 16;
constexpr Index tile_rows = 16;  // of weights
constexpr Index tile_quads = 16;
constexpr Index token_quads = activation_group / 4;
constexpr Index panel_quad_bytes = panel_rows * 4;

/// The operand of ldtilecfg. Tiles 0 to 3 hold sums, [token][row of weights], 0 and 1 of the first
/// 16 vectors; 4 and 5 the activations of either 16, [token][quad]; 6 and 7 weights, [quad][row].
struct alignas(64) TileShapes {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};

    explicit TileShapes(Index quads) {
        for (int i = 0; i < 8; ++i) {
            row_bytes[i] = 64;
            rows[i] = 16;
        }
        for (const int i : {4, 5}) row_bytes[i] = static_cast<std::uint16_t>(4 * quads);
        for (const int i : {6, 7}) rows[i] = static_cast<std::uint8_t>(quads);
    }
};
static_assert(sizeof(TileShapes) == 64);

/// Weights for one instruction: up to tile_quads quads of a panel and the activations' first.
struct Step {
    const std::uint8_t* weights;
    Index first_quad;
};

/// Adds 16 vectors times 16 rows to y.
void add_sums(const std::int32_t* sums, const float* row_scales, const PanelInputs& x, Index token,
              float* y, Index stride) {
    const __m512 row_scale = _mm512_loadu_ps(row_scales);
    for (Index t = 0; t < tile_tokens; ++t) {
        const __m512i sum = _mm512_add_epi32(_mm512_load_si512(sums + t * tile_rows),
                                             _mm512_set1_epi32(-128 * x.sums[token + t]));
        const __m512 scale = _mm512_mul_ps(row_scale, _mm512_set1_ps(x.scales[token + t]));
        float* to = y + (token + t) * stride;
        _mm512_storeu_ps(
            to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum))));
    }
}

/// 16 Blocks vectors from `token` on times the 64 rows.
template <int Blocks>
void block(const PanelWeights& w, const Step* steps, int step_count, const PanelInputs& x,
           Index token, float* y, Index stride) {
    constexpr Index x_bytes = token_quads * 4;
    alignas(64) std::int32_t sums[4][tile_tokens * tile_rows];
    for (Index row = 0; row < panel_rows; row += 2 * tile_rows) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int i = 0; i < step_count; ++i) {
            const std::uint32_t* inputs = x.quads + token * token_quads + steps[i].first_quad;
            _tile_loadd(6, steps[i].weights + 4 * row, panel_quad_bytes);
            _tile_loadd(7, steps[i].weights + 4 * (row + tile_rows), panel_quad_bytes);
            _tile_loadd(4, inputs, x_bytes);
            _tile_dpbsud(0, 4, 6);
            _tile_dpbsud(1, 4, 7);
            if constexpr (Blocks == 2) {
                _tile_loadd(5, inputs + tile_tokens * token_quads, x_bytes);
                _tile_dpbsud(2, 5, 6);
                _tile_dpbsud(3, 5, 7);
            }
        }
        _tile_stored(0, sums[0], 64);
        _tile_stored(1, sums[1], 64);
        if constexpr (Blocks == 2) {
            _tile_stored(2, sums[2], 64);
            _tile_stored(3, sums[3], 64);
        }
        for (Index b = 0; b < Blocks; ++b)
            for (Index k = 0; k < 2; ++k)
                add_sums(sums[2 * b + k], w.row_scales + row + k * tile_rows, x,
                         token + b * tile_tokens, y + row + k * tile_rows, stride);
    }
}

void panel(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
           Index stride) {
    Index token = 0;
    if (tokens >= tile_tokens) {
        // Weights of the second step lack rows that the tile has: they become zeros, and what lies
        // in the activations there does not matter.
        alignas(64) std::uint8_t rest[tile_quads * panel_quad_bytes];
        const std::uint8_t* second = w.bytes + tile_quads * panel_quad_bytes;
        if (quads > tile_quads && quads < token_quads) {
            const auto size = static_cast<std::size_t>((quads - tile_quads) * panel_quad_bytes);
            std::memset(rest + size, 0, sizeof(rest) - size);
            std::memcpy(rest, second, size);
            second = rest;
        }
        const Step steps[2] = {{w.bytes, 0}, {second, tile_quads}};
        const int step_count = quads > tile_quads ? 2 : 1;
        const TileShapes shapes(quads < tile_quads ? quads : tile_quads);
        // GCC's headers do not say what ldtilecfg and tile loads read.
        asm volatile("" ::"r"(&shapes), "r"(second) : "memory");
        _tile_loadconfig(&shapes);
        for (; tokens - token >= 2 * tile_tokens; token += 2 * tile_tokens)
            block<2>(w, steps, step_count, x, token, y, stride);
        for (; tokens - token >= tile_tokens; token += tile_tokens)
            block<1>(w, steps, step_count, x, token, y, stride);
        _tile_release();
    }
    if (token < tokens)
        kernels_avx512vnni.panel(w,
                                 {x.quads + token * token_quads, x.scales + token, x.sums + token},
                                 quads, tokens - token, y + token * stride, stride);
}

}  // namespace

const Kernels& kernels_amx() {
    static const Kernels kernels = [] {
        Kernels k = kernels_avx512vnni;
        k.name = "amx";
        k.panel = panel;
        return k;
    }();
    return kernels;
}

}  // namespace vq::decode
