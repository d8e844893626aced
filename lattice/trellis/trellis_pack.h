// SPDX-License-Identifier: Apache-2.0
// Trellis codes in the layout of their kernels (trellis.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Throws Error when tiles are not whole chunks of rows.
std::optional<PackedSegments> pack_trellis(const CodedView& tensor);

/// streams: size (rows / tile_rows, cols, tile_rows * bits / 8): the bits of a column of a tile.
std::vector<std::uint8_t> trellis_layout(std::span<const std::uint8_t> streams, Index rows,
                                         Index cols, Index tile_rows, int bits);

}  // namespace vq
