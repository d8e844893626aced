// The reference: what every other table must compute, written to be read.
#include <cmath>

#include "base/hadamard.h"
#include "base/packed/activation.h"
#include "base/packed/kernels.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table.h"
#include "codebooks/scalar/grid.h"
#include "decode/code_bytes.h"
#include "decode/panel_codes.h"
#include "lattice/e8p/e8p.h"
#include "lattice/trellis/trellis.h"

namespace vq::decode {

namespace {

void lut_tables(const Segment& s, const float* x, Index block, const LutTables& tables) {
    LutInputs in;
    quantize_lut_inputs(s, x, block, in);
    std::int32_t most = 0;
    for_lut_words(s, in, [&](std::int32_t t, Index) { most = std::max(most, std::abs(t)); });
    const float inverse = lut_inverse(most);
    std::uint8_t* out = tables.bytes + block * lut_block * lut_table_bytes(s);
    for_lut_words(s, in, [&](std::int32_t t, Index i) {
        out[i] = static_cast<std::uint8_t>(std::lrintf(static_cast<float>(t) * inverse) + 128);
    });
    tables.scales[block] = lut_scale(s, in, most);
}

void lut_rows(const Segment& s, Index padded_rows, const LutTables& tables, Index tile, Index count,
              float* y) {
    const Index tiles = padded_rows / lut_tile;
    for (Index b = 0; b < ceil_div(s.groups(), lut_block); ++b) {
        const Index groups = lut_groups(s, b);
        const Index bias = 128 * groups * s.stages;
        for (Index t = 0; t < count; ++t) {
            std::int32_t sum[lut_tile] = {};
            const std::uint8_t* codes = s.codes + lut_offset(s, tiles, b, tile + t);
            const std::uint8_t* table = tables.bytes + b * lut_block * lut_table_bytes(s);
            for (Index g = 0; g < groups; ++g)
                for (int m = 0; m < s.stages; ++m) {
                    for (Index r = 0; r < lut_tile; ++r)
                        sum[r] += table[lut_code(codes, s.stage_bits[m], r)];
                    codes += lut_stage_bytes(s.stage_bits[m]);
                    table += Index{1} << s.stage_bits[m];
                }
            for (Index r = 0; r < lut_tile; ++r)
                y[t * lut_tile + r] += tables.scales[b] * static_cast<float>(sum[r] - bias);
        }
    }
}

void trellis_rows(const Segment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index pairs_a_group = activation_group / 2;
    const Index pairs = trellis_pairs(s);
    for (Index g = 0; g * pairs_a_group < pairs; ++g) {
        const Index end = std::min(pairs, (g + 1) * pairs_a_group);
        for (Index r = 0; r < s.tile_rows; ++r) {
            std::int32_t sum = -byte_sum_mean * x.sums[g];
            for (Index p = g * pairs_a_group; p < end; ++p)
                for (Index odd = 0; odd < 2; ++odd) {
                    const std::uint32_t state = trellis_state(s, trellis_codes(s, tile, p), odd, r);
                    const auto q = static_cast<std::int8_t>(x.pairs[p] >> (16 * odd) & 0xFFu);
                    sum += byte_sum(trellis_word(s, state)) * q;
                }
            y[r] += x.scales[g] * static_cast<float>(sum);
        }
    }
}

void e8p_rows(const Segment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index vectors_a_group = activation_group / 8;
    const E8pTables& tables = e8p_tables();
    for (Index g = 0; g * vectors_a_group < s.groups(); ++g) {
        const Index end = std::min(s.groups(), (g + 1) * vectors_a_group);
        Index stage_at = 0;
        for (int m = 0; m < s.stages; ++m) {
            const float factor = x.scales[g] * e8p_step(s, m);
            for (Index r = 0; r < e8p_tile; ++r) {
                std::int32_t sum = 0;
                for (Index v = g * vectors_a_group; v < end; ++v) {
                    const std::uint32_t nibbles =
                        e8p_nibbles(tables, s.stage_bits[m], e8p_codes(s, tile, v) + stage_at, r);
                    for (int d = 0; d < 8; ++d)
                        sum += e8p_integer(tables, e8p_kind(s, m), nibbles, d) * x.bytes[8 * v + d];
                }
                y[r] += factor * static_cast<float>(sum);
            }
            stage_at += e8p_tile * s.stage_bits[m] / 8;
        }
    }
}

void grid_rows(const Segment& s, const ByteActivations& x, Index tile, Index begin, Index end,
               float* y) {
    for (Index g = begin; g < end; ++g) {
        const Index last = std::min(s.cols, (g + 1) * activation_group);
        const float factor = x.scales[g] * s.grid->step;
        for (Index r = 0; r < grid_tile; ++r) {
            std::int32_t sum = -grid_offset * x.sums[g];
            for (Index j = g * activation_group; j < last; ++j)
                sum += s.grid->bytes[grid_code(grid_codes(s, tile, j / grid_step), s.bits, r,
                                               j % grid_step)] *
                       x.bytes[j];
            y[r] += factor * static_cast<float>(sum);
        }
    }
}

void byte_rows(const Segment& s, const ByteActivations& x, const std::int32_t* block_sums,
               Index tile, float* y) {
    for (Index b = 0; b < byte_blocks(s); ++b) {
        const std::uint8_t* block = byte_codes(s, tile, b);
        const auto* scales = reinterpret_cast<const Half*>(block);
        const float x_scale = x.scales[b * byte_block / activation_group];
        for (Index r = 0; r < byte_tile; ++r) {
            std::int32_t sum = -byte_offset * block_sums[b];
            for (Index j = 0; j < byte_block; ++j)
                sum += block[byte_position(r, j)] * x.bytes[b * byte_block + j];
            y[r] += float_from_half(scales[r]) * x_scale * static_cast<float>(sum);
        }
    }
}

void panel(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
           Index stride) {
    for (Index t = 0; t < tokens; ++t)
        for (Index r = 0; r < panel_rows; ++r) {
            std::int32_t sum = -128 * x.sums[t];
            for (Index j = 0; j < 4 * quads; ++j) {
                const std::uint32_t quad = x.quads[t * (activation_group / 4) + j / 4];
                const auto q = static_cast<std::int8_t>(quad >> (8 * (j % 4)) & 0xFFu);
                sum += w.bytes[(j / 4 * panel_rows + r) * 4 + j % 4] * q;
            }
            y[t * stride + r] += w.row_scales[r] * x.scales[t] * static_cast<float>(sum);
        }
}

float round_weights(const float* v, std::uint8_t* bytes) {
    float most = 0;
    for (Index j = 0; j < activation_group; ++j) most = std::max(most, std::fabs(v[j]));
    const float inverse = most > 0 ? 127.0F / most : 0;
    for (Index j = 0; j < activation_group; ++j)
        bytes[j] = static_cast<std::uint8_t>(std::lrintf(v[j] * inverse) + 128);
    return most / 127.0F;
}

void flip_signs(const std::uint64_t* signs, const float* x, Index n, float* out) {
    for (Index i = 0; i < n; ++i) out[i] = (signs[i / 64] >> i % 64 & 1u) != 0 ? -x[i] : x[i];
}

float dot(const float* a, const float* b, Index n) {
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

float dot_half(const Half* a, const float* b, Index n) {
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += float_from_half(a[i]) * b[i];
    return sum;
}

float dot_bf16(const BFloat16* a, const float* b, Index n) {
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += float_from_bf16(a[i]) * b[i];
    return sum;
}

}  // namespace

const Kernels kernels_scalar = {
    "scalar",         hadamard_block, flip_signs,       quantize_activations,
    lut_tables,       lut_rows,       trellis_rows,     e8p_rows,
    grid_rows,        byte_rows,      table_rows_plain, panel,
    code_panel_plain, nullptr,        round_weights,    dot,
    dot_half,         dot_bf16};

}  // namespace vq::decode
