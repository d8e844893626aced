// SPDX-License-Identifier: Apache-2.0
// The mean error of a layer's outputs goes into its bias, where it has one:
//     b' = b + (W - What) mean(x),
// so that over the calibration text the quantized layer's outputs are W x + b on average
// (bias correction: Nagel et al., Data-Free Quantization, 1906.04721, with means that are
// measured).
#pragma once

#include <string>

#include "base/matrix.h"
#include "vq/layer/hessian.h"

namespace vq {

/// "....q_proj.bias" for "....q_proj.weight"; ".bias" is added to a name that does not end so, as
/// those of one expert's part of a larger tensor ("....gate_up_proj[3]").
std::string bias_of(const std::string& weight);

/// b' (1, m) for b (1, m), the weights W (m, n) that were aimed at, and What. Unchanged where no
/// token was seen.
Matrix corrected_bias(const Matrix& bias, const Matrix& w, const Matrix& what,
                      const HessianSum& inputs);

}  // namespace vq
