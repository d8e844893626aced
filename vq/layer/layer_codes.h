// SPDX-License-Identifier: Apache-2.0
// Which code serves which columns of a layer: one for all, with a finer one for outlier columns, or
// one a rate where the family has rates; and the training of codebooks that are the layer's own.
#pragma once

#include "base/progress.h"
#include "vq/layer/quantize_layer.h"

namespace vq {

/// Columns of a feedback block.
Index feedback_block(const Settings& settings);

/// The transformed and padded W (m, n) with its segments of columns and their codes (own codebooks
/// still untrained), scales fitted, nothing encoded. `unpadded`: the shape of the original W. With
/// rates the metrics of `ldl` say what a column's error costs.
CodedTensor uncoded_tensor(const Matrix& w, TensorShape unpadded, const Settings& settings,
                           const SharedCodes& shared, const BlockLDL& ldl);

/// Trains the tensor's own codebooks on `x` (m, n): W at first, a pass's targets later. h_diagonal:
/// size (n). Throws Cancelled.
void train_codes(const Matrix& x, const VectorD& h_diagonal, const Settings& settings,
                 std::uint64_t seed, const Progress& progress, CodedTensor& tensor);

}  // namespace vq
