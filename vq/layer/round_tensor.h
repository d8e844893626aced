// SPDX-License-Identifier: Apache-2.0
// Rounds a matrix to a code as it stands: no transform, no inputs, no feedback. For tables of which
// rows are looked up (embeddings), where every row's error counts alike.
#pragma once

#include <string>

#include "vq/layer/quantize_layer.h"

namespace vq {

/// W (m, n), finite; the code of `settings`, computed (not trained), with vectors along inputs and
/// scales of its own: the tensor's scale is 1. Memory: one more copy of W. rel_proxy of the result
/// is its rel_mse. Deterministic at any number of threads.
QuantizedLayer round_tensor(const Matrix& w, const Settings& settings, const std::string& name);

}  // namespace vq
