// SPDX-License-Identifier: Apache-2.0
// Products with many vectors: weights are decoded once for all of them. With int8 activations a
// panel of 64 rows and 128 columns is decoded, rounded to 8 bits with a scale a row (codes with
// whole steps need no rounding: base/packed/panel.h), and multiplied by an integer kernel; in the
// exact mode rows are decoded to fp32.
#pragma once

#include <cstddef>

#include "decode/product.h"

namespace vq::decode {

/// Vectors that are worked on at a time: their int8 forms and sums stay in the L2 and L3 caches.
inline constexpr Index most_batch = 512;
inline constexpr Index least_batch = 2;

/// From how many vectors on decoding once pays. Kernels that read codes directly take about 1/40 of
/// the time that it takes to decode them.
Index batch_crossover(const Tensor& t, Mode mode);

std::size_t batch_scratch_bytes(const Tensor& t, Index batch);

/// y (batch, rows) = x (batch, cols) W^T for a coded tensor, batch <= most_batch.
void multiply_batch(const Kernels& kernels, const Tensor& t, Mode mode, const float* x, Index batch,
                    float* y, void* scratch, const Threads& threads);

}  // namespace vq::decode
