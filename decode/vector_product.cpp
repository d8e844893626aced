// SPDX-License-Identifier: Apache-2.0
#include "decode/vector_product.h"

#include <algorithm>

#include "decode/codes.h"
#include "decode/decode_rows.h"
#include "decode/rotation.h"

namespace vq::decode {

namespace {

constexpr Index rows_an_item = 16;        // of codes that are decoded to floats, or of dense rows
constexpr Index values_at_a_time = 1024;  // on an item's stack

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
    Index inputs = 0;
    for (const Segment* s : t.segments)
        if (s->direct) inputs = std::max(inputs, s->input_bytes);
    b_.inputs = arena.take<std::byte>(inputs);
}

/// Dense: rows. Coded: start, then inputs and rows of each segment, then finish.
Index VectorProduct::phases() const {
    return t_->kind == TensorKind::coded ? 2 * static_cast<Index>(t_->segments.size()) + 2 : 1;
}

Index VectorProduct::items(Index phase) const {
    if (t_->kind != TensorKind::coded) return ceil_div(t_->rows, rows_an_item);
    if (phase == 0 || phase == phases() - 1) return 1;
    const Segment& s = *t_->segments[static_cast<std::size_t>((phase - 1) / 2)];
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
    const Segment& s = *t_->segments[static_cast<std::size_t>((phase - 1) / 2)];
    if (phase % 2 == 1)
        code_kernels(s, *kernels_).inputs(*kernels_, s, b_.x + s.col0, item, b_.inputs);
    else
        rows(s, item);
}

bool VectorProduct::uses_kernel(const Segment& s) const {
    return mode_ == Mode::int8 && s.direct;
}

/// Inputs of one part are not worth a phase of their own: start() prepares those of the first
/// segment.
Index VectorProduct::input_items(const Segment& s) const {
    if (!uses_kernel(s)) return 0;
    return s.input_items == 1 && &s == t_->segments.front() ? 0 : s.input_items;
}

Index VectorProduct::row_items(const Segment& s) const {
    return ceil_div(t_->padded_rows, uses_kernel(s) ? s.rows_an_item : rows_an_item);
}

void VectorProduct::rows(const Segment& s, Index item) const {
    if (!uses_kernel(s)) {
        float_rows(s, item);
        return;
    }
    const Index row = item * s.rows_an_item;
    code_kernels(s, *kernels_)
        .rows(*t_, s, b_.inputs, row, std::min(s.rows_an_item, t_->padded_rows - row), b_.y + row);
}

void VectorProduct::start() const {
    transform_inputs(*kernels_, *t_, x_, b_.x, b_.other);
    std::fill_n(b_.y, t_->padded_rows, 0.0F);
    const Segment& first = *t_->segments.front();
    if (uses_kernel(first) && first.input_items == 1)
        code_kernels(first, *kernels_).inputs(*kernels_, first, b_.x, 0, b_.inputs);
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

/// Rows decoded to floats, piece by piece. With scales a group of columns these are applied to the
/// weights, else to the sums.
void VectorProduct::float_rows(const Segment& s, Index item) const {
    const Index width = s.width;
    const Index units = s.cols / width;
    const Index step = values_at_a_time / width;
    float values[values_at_a_time];
    const Index end = std::min(t_->padded_rows, (item + 1) * rows_an_item);
    for (Index row = item * rows_an_item; row < end; ++row)
        for (Index first = 0; first < units; first += step) {
            const Index count = std::min(step, units - first);
            const Index col = s.col0 + first * width;
            s.code->values(s, row, first, count, values);
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
