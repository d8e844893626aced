// SPDX-License-Identifier: Apache-2.0
#include "decode/product.h"

#include <algorithm>

#include "decode/batch.h"
#include "decode/decode_rows.h"
#include "decode/product_parts.h"
#include "decode/rotation.h"
#include "decode/vector_product.h"

namespace vq::decode {

namespace {

constexpr Index restored_at_a_time = 16;  // rows of a tensor with rotated outputs

/// The whole of a tensor with rotated outputs: rows first, then columns, several at a time.
void restore_all(const Kernels& kernels, const Tensor& t, float* out, float* columns, float* coded,
                 float* other) {
    for (Index r = 0; r < t.rows; ++r) {
        decode_coded_row(t, r, coded);
        std::copy_n(coded, t.cols, out + r * t.cols);
        restore_row(kernels, t, out + r * t.cols, other);
    }
    // Columns of a row-major matrix: 16 of them are one cache line of each row, read once.
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

}  // namespace

std::size_t scratch_bytes(const Tensor& t, Index batch) {
    const std::size_t one = vector_scratch_bytes(t);
    const Index at_a_time = std::min(batch, most_batch);
    return t.kind == TensorKind::coded && at_a_time >= least_batch
               ? std::max(one, batch_scratch_bytes(t, at_a_time))
               : one;
}

std::size_t scratch_bytes(std::span<const Tensor* const> tensors) {
    std::size_t all = 0;
    for (std::size_t i = 0; i < tensors.size(); i += most_together) {
        std::size_t together = 0;
        for (const Tensor* t : tensors.subspan(i, std::min(most_together, tensors.size() - i)))
            together += vector_scratch_bytes(*t);
        all = std::max(all, together);
    }
    return all;
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
    for (; i < batch; ++i) {
        Arena arena(scratch);
        const VectorProduct product(kernels, t, mode, x + i * t.cols, y + i * t.rows, arena);
        run_products({&product, 1}, threads);
    }
}

void multiply(const Kernels& kernels, std::span<const Tensor* const> tensors, Mode mode,
              const float* x, float* const* y, void* scratch, const Threads& threads) {
    for (std::size_t i = 0; i < tensors.size(); i += most_together) {
        const std::size_t count = std::min(most_together, tensors.size() - i);
        Arena arena(scratch);
        VectorProduct products[most_together];
        for (std::size_t k = 0; k < count; ++k)
            products[k] = VectorProduct(kernels, *tensors[i + k], mode, x, y[i + k], arena);
        run_products({products, count}, threads);
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
    // A few rows of rotated outputs need all coded rows: these are decoded once for several.
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
