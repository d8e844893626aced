// SPDX-License-Identifier: Apache-2.0
// Scale search: the size of each scale, before anything is encoded, with the least error of nearest
// rounding. For grids of few values this is the search for the best clipping (AWQ 2306.00978).
#pragma once

#include "base/matrix.h"
#include "vq/tensor/coded_tensor.h"

namespace vq {

/// Tries `steps` sizes of each of the tensor's scales, from .6 to 4 times the present ones and on
/// to the size of the largest weight, and keeps the one with the least error under diag(H), size
/// (n): large weights that meet large inputs must not be clipped. W (m, n). Vectors must lie along
/// inputs, within one scale's group.
void search_scales(const Matrix& w, const VectorD& h_diagonal, int steps, CodedTensor& tensor);

}  // namespace vq
