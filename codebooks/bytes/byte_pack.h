// SPDX-License-Identifier: Apache-2.0
// Matrices as int8 with a scale for 32 columns in the layout of their kernel (bytes.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Values of any matrix (rows, cols) as int8: scales of largest / 127 a row and 32 columns, rounded
/// to fp16, values rounded to nearest. Rows are filled up to whole tiles with zeros. Values beyond
/// fp16's range are an error of the caller.
std::vector<std::uint8_t> byte_layout(std::span<const float> values, Index rows, Index cols);

}  // namespace vq
