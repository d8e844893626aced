// SPDX-License-Identifier: Apache-2.0
// Weights as floats, for dequantising, for the exact mode and for codes without a kernel of their
// own.
#pragma once

#include "decode/packed_file.h"

namespace vq::decode {

/// Values of rows [row, row + rows), columns [col, col + cols) of a segment, without the tensor's
/// scales; rows of `out` lie `stride` apart.
void decode_block(const Segment& s, Index row, Index rows, Index col, Index cols, float* out,
                  Index stride);

/// Row `row` of the coded matrix (padded_cols values), scaled, before the transform is undone.
void decode_coded_row(const Tensor& t, Index row, float* out);

/// Multiplies values of columns [col, col + count) of a row by their scales.
void apply_scales(const Tensor& t, Index row, Index col, Index count, float* values);

/// A row of a dense tensor.
void decode_dense_row(const Tensor& t, Index row, float* out);

}  // namespace vq::decode
