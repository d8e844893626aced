#include "decode/product.h"

#include <algorithm>

#include "decode/activation.h"
#include "decode/batch.h"
#include "decode/decode_rows.h"
#include "decode/layout.h"
#include "decode/lut.h"
#include "decode/product_parts.h"
#include "decode/rotation.h"
#include "decode/table.h"

namespace vq::decode {

namespace {

constexpr Index rows_a_task = 16;         // of codes that are decoded to floats
constexpr Index values_at_a_time = 1024;  // on a task's stack
constexpr Index most_tiles = 8;           // of lookup tables, a task
constexpr Index least_tasks = 16;
constexpr Index restored_at_a_time = 16;  // rows of a tensor with rotated outputs

struct Buffers {
    float* x = nullptr;      ///< transformed activations
    float* y = nullptr;      ///< products before the outputs are transformed
    float* other = nullptr;  ///< for transforms
    LutTables tables{};
    ByteBuffers bytes{};
};

Buffers lay_out(const Tensor& t, Arena& arena) {
    Buffers b;
    if (t.kind != TensorKind::coded) return b;
    b.x = arena.take<float>(t.padded_cols);
    b.y = arena.take<float>(t.padded_rows);
    b.other = arena.take<float>(std::max(t.rows, t.cols));
    Index table_bytes = 0;
    Index blocks = 0;
    Index cols = 0;
    Index vector_blocks = 0;  // of tables
    for (const Segment& s : t.segments) {
        if (s.code == CodeKind::lut) {
            table_bytes = std::max(table_bytes, s.groups() * lut_table_bytes(s));
            blocks = std::max(blocks, ceil_div(s.groups(), lut_block));
        } else if (s.code == CodeKind::table && !s.along_outputs) {
            vector_blocks = std::max(vector_blocks, ceil_div(s.groups(), table_block));
        } else {
            cols = std::max(cols, s.cols);
        }
    }
    b.tables = {arena.take<std::uint8_t>(table_bytes), arena.take<float>(blocks)};
    const Index groups = std::max(ceil_div(cols, activation_group), vector_blocks);
    b.bytes = {arena.take<std::uint32_t>(ceil_div(cols, 2)),
               arena.take<std::int8_t>(std::max(ceil_div(cols, byte_padding) * byte_padding,
                                                vector_blocks * table_block * table_most_dim)),
               arena.take<float>(groups), arena.take<std::int32_t>(groups)};
    return b;
}

struct Task {
    const Kernels& kernels;
    const Tensor& t;
    const Threads& threads;
    Buffers b;
};

void lut_segment(const Task& task, const Segment& s) {
    const LutTables& tables = task.b.tables;
    run(task.threads, ceil_div(s.groups(), lut_block),
        [&](Index block) { task.kernels.lut_tables(s, task.b.x + s.col0, block, tables); });
    const Index tiles = task.t.padded_rows / lut_tile;
    const Index step = std::clamp<Index>(tiles / least_tasks, 1, most_tiles);
    run(task.threads, ceil_div(tiles, step), [&](Index i) {
        task.kernels.lut_rows(s, task.t.padded_rows, tables, i * step,
                              std::min(step, tiles - i * step), task.b.y + i * step * lut_tile);
    });
}

ByteActivations bytes_of(const Task& task, const Segment& s) {
    const ByteBuffers& b = task.b.bytes;
    task.kernels.quantize(task.b.x + s.col0, s.cols, b);
    return {b.pairs, b.bytes, b.scales, b.sums};
}

void e8p_segment(const Task& task, const Segment& s) {
    const ByteActivations x = bytes_of(task, s);
    run(task.threads, task.t.padded_rows / e8p_tile,
        [&](Index tile) { task.kernels.e8p_rows(s, x, tile, task.b.y + tile * e8p_tile); });
}

/// With scales a group of columns, each of those is a product of its own.
void grid_segment(const Task& task, const Segment& s) {
    const ByteActivations x = bytes_of(task, s);
    const Tensor& t = task.t;
    const Index groups = ceil_div(s.cols, activation_group);
    run(task.threads, t.padded_rows / grid_tile, [&](Index tile) {
        float* y = task.b.y + tile * grid_tile;
        if (t.scale_kind != ScaleKind::group) {
            task.kernels.grid_rows(s, x, tile, 0, groups, y);
            return;
        }
        const Index wide = t.scale_group / activation_group;
        const Index first = s.col0 / activation_group;
        const Index scales_a_row = ceil_div(t.padded_cols, t.scale_group);
        for (Index g = 0; g < groups;) {
            const Index column = (first + g) / wide;
            const Index end = std::min(groups, (column + 1) * wide - first);
            float sums[grid_tile] = {};
            task.kernels.grid_rows(s, x, tile, g, end, sums);
            const Half* scale = t.scales + tile * grid_tile * scales_a_row + column;
            for (Index r = 0; r < grid_tile; ++r)
                y[r] += float_from_half(scale[r * scales_a_row]) * sums[r];
            g = end;
        }
    });
}

void trellis_segment(const Task& task, const Segment& s) {
    const ByteActivations x = bytes_of(task, s);
    run(task.threads, task.t.padded_rows / s.tile_rows, [&](Index tile) {
        float* y = task.b.y + tile * s.tile_rows;
        float sums[4096] = {};
        task.kernels.trellis_rows(s, x, tile, sums);
        for (Index r = 0; r < s.tile_rows; ++r) y[r] += s.gain[0] * sums[r];
    });
}

void table_segment(const Task& task, const Segment& s) {
    const ByteBuffers& b = task.b.bytes;
    if (s.along_outputs)
        task.kernels.quantize(task.b.x + s.col0, s.cols, b);
    else
        quantize_vectors(task.b.x + s.col0, s.groups(), s.dim, b);
    const ByteActivations x{b.pairs, b.bytes, b.scales, b.sums};
    const Index height = s.along_outputs ? s.dim : 1;
    const Index rows = task.t.padded_rows / height;
    const Index step = ceil_div(rows_a_task, height);
    run(task.threads, ceil_div(rows, step), [&](Index i) {
        task.kernels.table_rows(s, x, i * step, std::min(step, rows - i * step),
                                task.b.y + i * step * height);
    });
}

/// Rows decoded to floats, piece by piece. With scales a group of columns these are applied to the
/// weights, else to the sums.
void float_segment(const Task& task, const Segment& s) {
    const bool vectors = s.code != CodeKind::trellis && !s.along_outputs;
    const Index width = vectors ? s.dim : 1;
    const Index units = s.cols / width;
    const Index step = values_at_a_time / width;
    run(task.threads, ceil_div(task.t.padded_rows, rows_a_task), [&](Index i) {
        float values[values_at_a_time];
        const Index end = std::min(task.t.padded_rows, (i + 1) * rows_a_task);
        for (Index row = i * rows_a_task; row < end; ++row)
            for (Index first = 0; first < units; first += step) {
                const Index count = std::min(step, units - first);
                const Index col = s.col0 + first * width;
                decode_segment(s, task.t.padded_rows, row, first, count, values);
                if (task.t.scale_kind == ScaleKind::group)
                    apply_scales(task.t, row, col, count * width, values);
                task.b.y[row] += task.kernels.dot(values, task.b.x + col, count * width);
            }
    });
}

void coded_product(const Task& task, Mode mode, const float* x, float* y) {
    const Tensor& t = task.t;
    transform_inputs(task.kernels, t, x, task.b.x, task.b.other);
    std::fill_n(task.b.y, t.padded_rows, 0.0F);
    for (const Segment& s : t.segments) {
        if (mode != Mode::int8 || !has_kernel(t, s)) {
            float_segment(task, s);
            continue;
        }
        switch (s.code) {
            case CodeKind::lut: lut_segment(task, s); break;
            case CodeKind::trellis: trellis_segment(task, s); break;
            case CodeKind::e8p: e8p_segment(task, s); break;
            case CodeKind::grid: grid_segment(task, s); break;
            case CodeKind::table: table_segment(task, s); break;
        }
    }
    if (t.scale_kind != ScaleKind::group)
        for (Index r = 0; r < t.rows; ++r) task.b.y[r] *= t.scale(r);
    transform_outputs(task.kernels, t, task.b.y, y, task.b.other);
}

/// The whole of a tensor with rotated outputs: rows first, then columns, several at a time.
void restore_all(const Kernels& kernels, const Tensor& t, float* out, float* columns, float* coded,
                 float* other) {
    for (Index r = 0; r < t.rows; ++r) {
        decode_coded_row(t, r, coded);
        std::copy_n(coded, t.cols, out + r * t.cols);
        restore_row(kernels, t, out + r * t.cols, other);
    }
    for (Index c = 0; c < t.cols; c += restored_at_a_time) {
        const Index n = std::min(restored_at_a_time, t.cols - c);
        for (Index r = 0; r < t.rows; ++r)
            for (Index k = 0; k < n; ++k) columns[k * t.rows + r] = out[r * t.cols + c + k];
        for (Index k = 0; k < n; ++k)
            transform_outputs(kernels, t, columns + k * t.rows, columns + k * t.rows, other);
        for (Index r = 0; r < t.rows; ++r)
            for (Index k = 0; k < n; ++k) out[r * t.cols + c + k] = columns[k * t.rows + r];
    }
}

void dense_product(const Task& task, const float* x, float* y) {
    const Tensor& t = task.t;
    run(task.threads, ceil_div(t.rows, rows_a_task), [&](Index i) {
        const Index end = std::min(t.rows, (i + 1) * rows_a_task);
        for (Index row = i * rows_a_task; row < end; ++row) {
            const Index at = row * t.cols;
            if (t.kind == TensorKind::dense_f32)
                y[row] = task.kernels.dot(reinterpret_cast<const float*>(t.dense) + at, x, t.cols);
            else if (t.kind == TensorKind::dense_f16)
                y[row] =
                    task.kernels.dot_half(reinterpret_cast<const Half*>(t.dense) + at, x, t.cols);
            else
                y[row] = task.kernels.dot_bf16(reinterpret_cast<const BFloat16*>(t.dense) + at, x,
                                               t.cols);
        }
    });
}

}  // namespace

std::size_t scratch_bytes(const Tensor& t, Index batch) {
    Arena arena(nullptr);
    lay_out(t, arena);
    const Index at_a_time = std::min(batch, most_batch);
    return t.kind == TensorKind::coded && at_a_time >= least_batch
               ? std::max(arena.used(), batch_scratch_bytes(t, at_a_time))
               : arena.used();
}

std::size_t dequantize_scratch_bytes(const Tensor& t) {
    if (t.kind != TensorKind::coded) return 0;
    Arena arena(nullptr);
    arena.take<float>(t.padded_cols);
    arena.take<float>(std::max(t.rows, t.cols));
    if (t.rotated_out) arena.take<float>(restored_at_a_time * t.rows);
    return arena.used();
}

void multiply(const Kernels& kernels, const Tensor& t, Mode mode, const float* x, Index batch,
              float* y, void* scratch, const Threads& threads) {
    Index i = 0;
    if (t.kind == TensorKind::coded)
        for (Index n = 0; batch - i >= batch_crossover(t, mode); i += n) {
            n = std::min(batch - i, most_batch);
            multiply_batch(kernels, t, mode, x + i * t.cols, n, y + i * t.rows, scratch, threads);
        }
    Arena arena(scratch);
    const Task task{kernels, t, threads, lay_out(t, arena)};
    for (; i < batch; ++i) {
        if (t.kind == TensorKind::coded)
            coded_product(task, mode, x + i * t.cols, y + i * t.rows);
        else
            dense_product(task, x + i * t.cols, y + i * t.rows);
    }
}

void dequantize_rows(const Kernels& kernels, const Tensor& t, Index row, Index count, float* out,
                     void* scratch) {
    if (t.kind != TensorKind::coded) {
        for (Index i = 0; i < count; ++i) decode_dense_row(t, row + i, out + i * t.cols);
        return;
    }
    Arena arena(scratch);
    auto* coded = arena.take<float>(t.padded_cols);
    auto* other = arena.take<float>(std::max(t.rows, t.cols));
    if (!t.rotated_out) {
        for (Index i = 0; i < count; ++i) {
            decode_coded_row(t, row + i, coded);
            std::copy_n(coded, t.cols, out + i * t.cols);
            restore_row(kernels, t, out + i * t.cols, other);
        }
        return;
    }
    if (row == 0 && count == t.rows) {
        restore_all(kernels, t, out, arena.take<float>(restored_at_a_time * t.rows), coded, other);
        return;
    }
    // Row i of U^T W' is sum_k u_k W'_k with u = U e_i.
    auto* units = arena.take<float>(restored_at_a_time * t.rows);
    for (Index begin = 0; begin < count; begin += restored_at_a_time) {
        const Index n = std::min(restored_at_a_time, count - begin);
        float* rows = out + begin * t.cols;
        std::fill_n(rows, n * t.cols, 0.0F);
        std::fill_n(units, n * t.rows, 0.0F);
        for (Index i = 0; i < n; ++i) {
            units[i * t.rows + row + begin + i] = 1;
            rotate_outputs(kernels, t, units + i * t.rows, other);
        }
        for (Index k = 0; k < t.rows; ++k) {
            decode_coded_row(t, k, coded);
            for (Index i = 0; i < n; ++i) {
                const float u = units[i * t.rows + k];
                if (u == 0) continue;
                float* to = rows + i * t.cols;
                for (Index c = 0; c < t.cols; ++c) to[c] += u * coded[c];
            }
        }
        for (Index i = 0; i < n; ++i) restore_row(kernels, t, rows + i * t.cols, other);
    }
}

}  // namespace vq::decode
