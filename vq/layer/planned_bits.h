// SPDX-License-Identifier: Apache-2.0
// The exact count of a tensor's bits before it is made: what a budget is met by.
#pragma once

#include "vq/layer/quantize_layer.h"

namespace vq {

/// Bits that one tensor of `shape` will take on disk: codes, scales, transform data, and its own
/// codebooks if `own_codebooks`.
double planned_bits(TensorShape shape, const Settings& settings, bool own_codebooks);

}  // namespace vq
