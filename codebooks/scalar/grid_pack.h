// SPDX-License-Identifier: Apache-2.0
// Codes of single weights in the layout of the grid kernels (grid.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Takes tensors all of whose segments are scalar codebooks of up to 4 bits with values that do
/// with 8 bits each.
std::optional<PackedSegments> pack_grid(const CodedView& tensor);

/// Codes of 1-4 bits, weight (i, j) at i * cols + j. Rows are filled up to whole tiles with zeros.
std::vector<std::uint8_t> grid_layout(std::span<const std::uint64_t> codes, Index rows, Index cols,
                                      int bits);

}  // namespace vq
