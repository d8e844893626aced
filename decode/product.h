// SPDX-License-Identifier: Apache-2.0
// Products with a packed tensor: y = W x for one activation vector or many.
#pragma once

#include <cstddef>
#include <span>

#include "base/packed/kernels.h"
#include "decode/packed_file.h"

namespace vq::decode {

/// The caller's threads: calls task(context, i) for every i < n, in any order, and returns when all
/// are done. Null: one after the other.
struct Threads {
    void (*parallel_for)(void* pool, std::size_t n, void (*task)(void* context, std::size_t i),
                         void* context) = nullptr;
    void* pool = nullptr;
};

enum class Mode { int8, exact };

/// Bytes of scratch that a product with `t` and `batch` vectors needs.
std::size_t scratch_bytes(const Tensor& t, Index batch);
/// The same for products of one vector with several tensors.
std::size_t scratch_bytes(std::span<const Tensor* const> tensors);
/// The same for dequantize_rows().
std::size_t dequantize_scratch_bytes(const Tensor& t);

/// y (batch, rows) = x (batch, cols) W^T. `scratch` is aligned to 64 bytes.
void multiply(const Kernels& kernels, const Tensor& t, Mode mode, const float* x, Index batch,
              float* y, void* scratch, const Threads& threads);

/// y[i] (rows of tensor i) = W_i x for tensors of as many columns: the same as one by one.
void multiply(const Kernels& kernels, std::span<const Tensor* const> tensors, Mode mode,
              const float* x, float* const* y, void* scratch, const Threads& threads);
/// Tensors whose products share their phases; more are cut into such.
inline constexpr std::size_t most_together = 8;

/// Rows [row, row + count) of W, size (count, cols).
void dequantize_rows(const Kernels& kernels, const Tensor& t, Index row, Index count, float* out,
                     void* scratch);

}  // namespace vq::decode
