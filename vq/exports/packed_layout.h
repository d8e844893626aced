// SPDX-License-Identifier: Apache-2.0
// Codes from the order of the store into the order of the kernels (headers of the codes).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"

namespace vq {

/// Codes of vectors along inputs, vector (i, g) at i * groups + g, stages of 8-10 bits, the first
/// in the lowest bits. rows is a multiple of 64.
std::vector<std::uint8_t> lut_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     const std::vector<int>& stage_bits);

/// E8P codes, vector (i, g) at i * groups + g, stages of 16 or 16 + 8 or 16 + 16 bits, the first in
/// the lowest bits. rows is a multiple of 64.
std::vector<std::uint8_t> e8p_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     int bits);

/// Codes of scalar grids of 1-4 bits, weight (i, j) at i * cols + j. rows is a multiple of 64.
std::vector<std::uint8_t> grid_layout(std::span<const std::uint64_t> codes, Index rows, Index cols,
                                      int bits);

/// Values of any matrix (rows, cols) as int8: scales of largest / 127 a row and 32 columns, rounded
/// to fp16, values rounded to nearest. rows is a multiple of 64. Values beyond fp16's range are an
/// error of the caller.
std::vector<std::uint8_t> byte_layout(std::span<const float> values, Index rows, Index cols);

/// Codes as they are, `count` a row (or band of rows), each row beginning with a whole byte.
std::vector<std::uint8_t> table_layout(std::span<const std::uint64_t> codes, Index rows,
                                       Index count, int bits);

/// streams: size (rows / tile_rows, cols, tile_rows * bits / 8): the bits of a column of a tile.
std::vector<std::uint8_t> trellis_layout(std::span<const std::uint8_t> streams, Index rows,
                                         Index cols, Index tile_rows, int bits);

}  // namespace vq
