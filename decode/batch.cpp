// SPDX-License-Identifier: Apache-2.0
#include "decode/batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "decode/codes.h"
#include "decode/decode_rows.h"
#include "decode/product_parts.h"
#include "decode/rotation.h"

namespace vq::decode {

namespace {

constexpr Index group_quads = activation_group / 4;
constexpr Index rows_a_task = 16;
constexpr Index values_at_a_time = 1024;
constexpr Index direct_crossover = 40;  // of codes that have kernels of their own

struct Buffers {
    float* x = nullptr;              ///< (batch, padded_cols), transformed
    float* y = nullptr;              ///< (batch, stride)
    float* other = nullptr;          ///< (batch, max(rows, cols)), for transforms
    std::uint32_t* quads = nullptr;  ///< [group][token][group_quads]
    float* scales = nullptr;         ///< [group][token]
    std::int32_t* sums = nullptr;    ///< [panel][token]
    Index stride = 0;
};

Buffers lay_out(const Tensor& t, Index batch, Arena& arena) {
    Buffers b;
    Index groups = 0;
    Index sums = 0;
    for (const Segment* s : t.segments) {
        groups = std::max(groups, ceil_div(s->cols, activation_group));
        sums = std::max(sums, ceil_div(s->cols, s->panel_cols));
    }
    b.stride = ceil_div(t.padded_rows, panel_rows) * panel_rows;
    b.x = arena.take<float>(batch * t.padded_cols);
    b.y = arena.take<float>(batch * b.stride);
    b.other = arena.take<float>(batch * std::max(t.rows, t.cols));
    b.quads = arena.take<std::uint32_t>(groups * batch * group_quads);
    b.scales = arena.take<float>(groups * batch);
    b.sums = arena.take<std::int32_t>(sums * batch);
    return b;
}

/// One vector's part of a segment to int8, as quantize_activations() does, in quads; sums of
/// `width` columns.
void quantize_token(const float* x, Index n, Index width, Index token, Index batch,
                    const Buffers& b) {
    for (Index g = 0; g * activation_group < n; ++g) {
        const float* from = x + g * activation_group;
        const Index count = std::min(activation_group, n - g * activation_group);
        float most = 0;
        for (Index i = 0; i < count; ++i) most = std::max(most, std::fabs(from[i]));
        const float inverse = most > 0 ? 127.0F / most : 0;
        std::int8_t bytes[activation_group] = {};
        for (Index i = 0; i < count; ++i)
            bytes[i] = static_cast<std::int8_t>(round_to_int(from[i] * inverse));
        const Index at = g * batch + token;
        std::memcpy(b.quads + at * group_quads, bytes, sizeof(bytes));
        b.scales[at] = most / 127.0F;
        for (Index first = 0; first < count; first += width) {
            std::int32_t sum = 0;
            for (Index i = first; i < first + width; ++i) sum += bytes[i];
            b.sums[(g * activation_group + first) / width * batch + token] = sum;
        }
    }
}

/// Rows [row, row + rows), columns [col, col + count) of a segment, decoded and rounded to 8 bits.
PanelWeights decode_panel(const Kernels& kernels, const Tensor& t, const Segment& s, Index row,
                          Index rows, Index col, Index count, PanelRoom& room) {
    alignas(64) float values[panel_rows * activation_group];
    decode_block(s, row, rows, col, count, values, activation_group);
    for (Index r = 0; r < panel_rows; ++r) {
        float* v = values + r * activation_group;
        alignas(4) std::uint8_t bytes[activation_group];
        // Rows that fill the panel up: zeros with a scale of zero.
        if (r >= rows) {
            room.row_scales[r] = 0;
            std::fill_n(bytes, activation_group, static_cast<std::uint8_t>(panel_offset));
        } else {
            if (t.scale_kind == ScaleKind::group) apply_scales(t, row + r, s.col0 + col, count, v);
            std::fill(v + count, v + activation_group, 0.0F);
            room.row_scales[r] = kernels.round_weights(v, bytes);
        }
        for (Index q = 0; q < group_quads; ++q)
            std::memcpy(room.bytes + (q * panel_rows + r) * 4, bytes + 4 * q, 4);
    }
    return {room.bytes, room.row_scales};
}

struct BatchTask {
    const Kernels& kernels;
    const Tensor& t;
    const Threads& threads;
    Index batch;
    Buffers b;
};

void integer_segment(const BatchTask& task, const Segment& s) {
    const Buffers& b = task.b;
    const Index width = s.panel_cols;
    run(task.threads, task.batch, [&](Index token) {
        quantize_token(b.x + token * task.t.padded_cols + s.col0, s.cols, width, token, task.batch,
                       b);
    });
    const auto code_panel = s.panels ? code_kernels(s, task.kernels).panel : nullptr;
    run(task.threads, b.stride / panel_rows, [&](Index i) {
        const Index row = i * panel_rows;
        const Index rows = std::min(panel_rows, task.t.padded_rows - row);
        PanelRoom room;
        for (Index col = 0; col < s.cols; col += width) {
            const Index count = std::min(width, s.cols - col);
            const PanelWeights weights =
                code_panel != nullptr
                    ? code_panel(task.t, s, row, rows, col, count, room)
                    : decode_panel(task.kernels, task.t, s, row, rows, col, count, room);
            const Index group = col / activation_group * task.batch;
            const Index quad = col % activation_group / 4;
            task.kernels.panel(weights,
                               {b.quads + group * group_quads + quad, b.scales + group,
                                b.sums + col / width * task.batch},
                               ceil_div(count, 4), task.batch, b.y + row, b.stride);
        }
    });
}

void float_segment(const BatchTask& task, const Segment& s) {
    const Buffers& b = task.b;
    const Index step = values_at_a_time / s.width * s.width;
    run(task.threads, ceil_div(task.t.padded_rows, rows_a_task), [&](Index i) {
        float values[values_at_a_time];
        const Index end = std::min(task.t.padded_rows, (i + 1) * rows_a_task);
        for (Index row = i * rows_a_task; row < end; ++row)
            for (Index first = 0; first < s.cols; first += step) {
                const Index count = std::min(step, s.cols - first);
                const Index col = s.col0 + first;
                decode_block(s, row, 1, first, count, values, count);
                if (task.t.scale_kind == ScaleKind::group)
                    apply_scales(task.t, row, col, count, values);
                // The piece of a row that was decoded is in L1: all vectors take it before the next
                // one.
                for (Index token = 0; token < task.batch; ++token)
                    b.y[token * b.stride + row] +=
                        task.kernels.dot(values, b.x + token * task.t.padded_cols + col, count);
            }
    });
}

}  // namespace

Index batch_crossover(const Tensor& t, Mode mode) {
    if (mode == Mode::exact) return least_batch;
    for (const Segment* s : t.segments)
        if (!s->direct) return least_batch;
    return direct_crossover;
}

std::size_t batch_scratch_bytes(const Tensor& t, Index batch) {
    Arena arena(nullptr);
    lay_out(t, batch, arena);
    return arena.used();
}

void multiply_batch(const Kernels& kernels, const Tensor& t, Mode mode, const float* x, Index batch,
                    float* y, void* scratch, const Threads& threads) {
    Arena arena(scratch);
    const BatchTask task{kernels, t, threads, batch, lay_out(t, batch, arena)};
    const Buffers& b = task.b;
    const Index widest = std::max(t.rows, t.cols);
    run(threads, batch, [&](Index token) {
        transform_inputs(kernels, t, x + token * t.cols, b.x + token * t.padded_cols,
                         b.other + token * widest);
        std::fill_n(b.y + token * b.stride, b.stride, 0.0F);
    });
    for (const Segment* s : t.segments) {
        if (mode == Mode::exact)
            float_segment(task, *s);
        else
            integer_segment(task, *s);
    }
    run(threads, batch, [&](Index token) {
        float* sums = b.y + token * b.stride;
        if (t.scale_kind != ScaleKind::group)
            for (Index r = 0; r < t.rows; ++r) sums[r] *= t.scale(r);
        transform_outputs(kernels, t, sums, y + token * t.rows, b.other + token * widest);
    });
}

}  // namespace vq::decode
