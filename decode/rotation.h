// SPDX-License-Identifier: Apache-2.0
// A tensor's transform, undone on activations and outputs instead of on weights:
//     W' = U W D P^T R^T  stored,   y = W x = U^T W' (R P D^-1 x).
#pragma once

#include <vector>

#include "base/packed/kernels.h"
#include "base/packed/segment.h"

namespace vq::decode {

/// out = R P D^-1 x, padded with zeros to padded_cols. `scratch`: cols values.
void transform_inputs(const Kernels& kernels, const Tensor& t, const float* x, float* out,
                      float* scratch);
/// y := R P D^-1 undone for a row of weights: w (cols) becomes the row of W. `scratch`: cols.
void restore_row(const Kernels& kernels, const Tensor& t, float* w, float* scratch);
/// out = U^T y, both of size (rows); y is overwritten. `scratch`: rows values.
void transform_outputs(const Kernels& kernels, const Tensor& t, float* y, float* out,
                       float* scratch);
/// y := U y.
void rotate_outputs(const Kernels& kernels, const Tensor& t, float* y, float* scratch);

/// The random signs of a rotation of n values, a bit each: set where random_sign() is -1.
std::vector<std::uint64_t> sign_bits(std::uint64_t seed, Index n);

}  // namespace vq::decode
