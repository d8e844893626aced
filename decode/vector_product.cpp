#include "decode/vector_product.h"

#include <algorithm>

#include "base/packed/activation.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table.h"
#include "decode/code_bytes.h"
#include "decode/decode_rows.h"
#include "decode/rotation.h"

namespace vq::decode {

namespace {

constexpr Index rows_an_item = 16;        // of codes that are decoded to floats, or of dense rows
constexpr Index values_at_a_time = 1024;  // on an item's stack
constexpr Index most_tiles = 8;           // of lookup tables, an item
constexpr Index least_items = 16;

Index lut_tiles_an_item(const Tensor& t) {
    return std::clamp<Index>(t.padded_rows / lut_tile / least_items, 1, most_tiles);
}

/// Of a table segment, rows or bands.
Index table_rows_an_item(const Segment& s) {
    return ceil_div(rows_an_item, s.along_outputs ? s.dim : 1);
}

}  // namespace

VectorProduct::VectorProduct(const Kernels& kernels, const Tensor& t, Mode mode, const float* x,
                             float* y, Arena& arena)
    : kernels_(&kernels), t_(&t), mode_(mode), x_(x), y_(y) {
    lay_out(arena);
}

void VectorProduct::lay_out(Arena& arena) {
    const Tensor& t = *t_;
    if (t.kind != TensorKind::coded) return;
    b_.x = arena.take<float>(t.padded_cols);
    b_.y = arena.take<float>(t.padded_rows);
    b_.other = arena.take<float>(std::max(t.rows, t.cols));
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
    b_.tables = {arena.take<std::uint8_t>(table_bytes), arena.take<float>(blocks)};
    const Index groups = std::max(ceil_div(cols, activation_group), vector_blocks);
    b_.bytes = {arena.take<std::uint32_t>(ceil_div(cols, byte_padding) * byte_padding / 2),
                arena.take<std::int8_t>(std::max(ceil_div(cols, byte_padding) * byte_padding,
                                                 vector_blocks * table_block * table_most_dim)),
                arena.take<float>(groups), arena.take<std::int32_t>(groups)};
    b_.block_sums = arena.take<std::int32_t>(ceil_div(cols, byte_block));
}

/// Dense: rows. Coded: start, then inputs and rows of each segment, then finish.
Index VectorProduct::phases() const {
    return t_->kind == TensorKind::coded ? 2 * static_cast<Index>(t_->segments.size()) + 2 : 1;
}

Index VectorProduct::items(Index phase) const {
    if (t_->kind != TensorKind::coded) return ceil_div(t_->rows, rows_an_item);
    if (phase == 0 || phase == phases() - 1) return 1;
    const Segment& s = t_->segments[static_cast<std::size_t>((phase - 1) / 2)];
    return phase % 2 == 1 ? input_items(s) : row_items(s);
}

void VectorProduct::run(Index phase, Index item) const {
    if (t_->kind != TensorKind::coded) {
        dense_rows(item);
        return;
    }
    if (phase == 0) {
        start();
        return;
    }
    if (phase == phases() - 1) {
        finish();
        return;
    }
    const Segment& s = t_->segments[static_cast<std::size_t>((phase - 1) / 2)];
    if (phase % 2 == 1)
        inputs(s, item);
    else
        rows(s, item);
}

bool VectorProduct::uses_kernel(const Segment& s) const {
    return mode_ == Mode::int8 && has_kernel(*t_, s);
}

/// Lookup tables are worth several threads; those of the first segment are made by start() else.
Index VectorProduct::input_items(const Segment& s) const {
    if (!uses_kernel(s)) return 0;
    if (s.code == CodeKind::lut) return ceil_div(s.groups(), lut_block);
    return &s == t_->segments.data() ? 0 : 1;
}

void VectorProduct::inputs(const Segment& s, Index item) const {
    const float* x = b_.x + s.col0;
    if (s.code == CodeKind::lut)
        kernels_->lut_tables(s, x, item, b_.tables);
    else if (s.code == CodeKind::table && !s.along_outputs)
        quantize_vectors(x, s.groups(), s.dim, b_.bytes);
    else
        kernels_->quantize(x, s.cols, b_.bytes);
    if (s.code != CodeKind::bytes) return;
    for (Index b = 0; b < byte_blocks(s); ++b) {
        std::int32_t sum = 0;
        for (Index j = 0; j < byte_block; ++j) sum += b_.bytes.bytes[b * byte_block + j];
        b_.block_sums[b] = sum;
    }
}

Index VectorProduct::row_items(const Segment& s) const {
    if (!uses_kernel(s)) return ceil_div(t_->padded_rows, rows_an_item);
    switch (s.code) {
        case CodeKind::lut: return ceil_div(t_->padded_rows / lut_tile, lut_tiles_an_item(*t_));
        case CodeKind::trellis: return t_->padded_rows / s.tile_rows;
        case CodeKind::e8p: return t_->padded_rows / e8p_tile;
        case CodeKind::grid: return t_->padded_rows / grid_tile;
        case CodeKind::bytes: return t_->padded_rows / byte_tile;
        case CodeKind::table: break;
    }
    return ceil_div(t_->padded_rows / (s.along_outputs ? s.dim : 1), table_rows_an_item(s));
}

ByteActivations VectorProduct::activations() const {
    return {b_.bytes.pairs, b_.bytes.bytes, b_.bytes.scales, b_.bytes.sums};
}

void VectorProduct::rows(const Segment& s, Index item) const {
    if (!uses_kernel(s)) {
        float_rows(s, item);
        return;
    }
    const ByteActivations x = activations();
    switch (s.code) {
        case CodeKind::lut: lut_rows(s, item); return;
        case CodeKind::trellis: trellis_rows(s, item); return;
        case CodeKind::e8p: kernels_->e8p_rows(s, x, item, b_.y + item * e8p_tile); return;
        case CodeKind::grid: grid_rows(s, item); return;
        case CodeKind::bytes:
            kernels_->byte_rows(s, x, b_.block_sums, item, b_.y + item * byte_tile);
            return;
        case CodeKind::table: table_rows(s, item); return;
    }
}

void VectorProduct::start() const {
    transform_inputs(*kernels_, *t_, x_, b_.x, b_.other);
    std::fill_n(b_.y, t_->padded_rows, 0.0F);
    const Segment& first = t_->segments.front();
    if (first.code != CodeKind::lut && uses_kernel(first)) inputs(first, 0);
}

void VectorProduct::finish() const {
    if (t_->scale_kind == ScaleKind::tensor) {
        for (Index r = 0; r < t_->rows; ++r) b_.y[r] *= t_->tensor_scale;
    } else if (t_->scale_kind == ScaleKind::row) {
        float_from_half(t_->scales, t_->rows, b_.other);
        for (Index r = 0; r < t_->rows; ++r) b_.y[r] *= b_.other[r];
    }
    transform_outputs(*kernels_, *t_, b_.y, y_, b_.other);
}

void VectorProduct::lut_rows(const Segment& s, Index item) const {
    const Index step = lut_tiles_an_item(*t_);
    const Index first = item * step;
    kernels_->lut_rows(s, t_->padded_rows, b_.tables, first,
                       std::min(step, t_->padded_rows / lut_tile - first), b_.y + first * lut_tile);
}

/// With scales a group of columns, each of those is a product of its own.
void VectorProduct::grid_rows(const Segment& s, Index tile) const {
    const ByteActivations x = activations();
    const Tensor& t = *t_;
    const Index groups = ceil_div(s.cols, activation_group);
    float* y = b_.y + tile * grid_tile;
    if (t.scale_kind != ScaleKind::group) {
        kernels_->grid_rows(s, x, tile, 0, groups, y);
        return;
    }
    const Index wide = t.scale_group / activation_group;
    const Index first = s.col0 / activation_group;
    const Index scales_a_row = ceil_div(t.padded_cols, t.scale_group);
    for (Index g = 0; g < groups;) {
        const Index column = (first + g) / wide;
        const Index end = std::min(groups, (column + 1) * wide - first);
        float sums[grid_tile] = {};
        kernels_->grid_rows(s, x, tile, g, end, sums);
        const Half* scale = t.scales + tile * grid_tile * scales_a_row + column;
        for (Index r = 0; r < grid_tile; ++r)
            y[r] += float_from_half(scale[r * scales_a_row]) * sums[r];
        g = end;
    }
}

void VectorProduct::trellis_rows(const Segment& s, Index tile) const {
    const ByteActivations x = activations();
    float* y = b_.y + tile * s.tile_rows;
    float sums[trellis_most_rows];
    std::fill_n(sums, s.tile_rows, 0.0F);
    kernels_->trellis_rows(s, x, tile, sums);
    for (Index r = 0; r < s.tile_rows; ++r) y[r] += s.gain[0] * sums[r];
}

void VectorProduct::table_rows(const Segment& s, Index item) const {
    const ByteActivations x = activations();
    const Index height = s.along_outputs ? s.dim : 1;
    const Index step = table_rows_an_item(s);
    const Index first = item * step;
    kernels_->table_rows(s, x, first, std::min(step, t_->padded_rows / height - first),
                         b_.y + first * height);
}

/// Rows decoded to floats, piece by piece. With scales a group of columns these are applied to the
/// weights, else to the sums.
void VectorProduct::float_rows(const Segment& s, Index item) const {
    const bool vectors = s.code != CodeKind::trellis && !s.along_outputs;
    const Index width = vectors ? s.dim : 1;
    const Index units = s.cols / width;
    const Index step = values_at_a_time / width;
    float values[values_at_a_time];
    const Index end = std::min(t_->padded_rows, (item + 1) * rows_an_item);
    for (Index row = item * rows_an_item; row < end; ++row)
        for (Index first = 0; first < units; first += step) {
            const Index count = std::min(step, units - first);
            const Index col = s.col0 + first * width;
            decode_segment(s, t_->padded_rows, row, first, count, values);
            if (t_->scale_kind == ScaleKind::group)
                apply_scales(*t_, row, col, count * width, values);
            b_.y[row] += kernels_->dot(values, b_.x + col, count * width);
        }
}

void VectorProduct::dense_rows(Index item) const {
    const Tensor& t = *t_;
    const Index end = std::min(t.rows, (item + 1) * rows_an_item);
    for (Index row = item * rows_an_item; row < end; ++row) {
        const Index at = row * t.cols;
        if (t.kind == TensorKind::dense_f32)
            y_[row] = kernels_->dot(reinterpret_cast<const float*>(t.dense) + at, x_, t.cols);
        else if (t.kind == TensorKind::dense_f16)
            y_[row] = kernels_->dot_half(reinterpret_cast<const Half*>(t.dense) + at, x_, t.cols);
        else
            y_[row] =
                kernels_->dot_bf16(reinterpret_cast<const BFloat16*>(t.dense) + at, x_, t.cols);
    }
}

std::size_t vector_scratch_bytes(const Tensor& t) {
    Arena arena(nullptr);
    const VectorProduct product(kernels_scalar, t, Mode::int8, nullptr, nullptr, arena);
    return arena.used();
}

void run_products(std::span<const VectorProduct> products, const Threads& threads) {
    Index phases = 0;
    for (const VectorProduct& p : products) phases = std::max(phases, p.phases());
    for (Index phase = 0; phase < phases; ++phase) {
        const auto items = [&](const VectorProduct& p) {
            return phase < p.phases() ? p.items(phase) : 0;
        };
        Index all = 0;
        for (const VectorProduct& p : products) all += items(p);
        run(threads, all, [&](Index item) {
            for (const VectorProduct& p : products) {
                const Index n = items(p);
                if (item < n) {
                    p.run(phase, item);
                    return;
                }
                item -= n;
            }
        });
    }
}

}  // namespace vq::decode
