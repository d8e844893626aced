// SPDX-License-Identifier: Apache-2.0
// Weights as int8 with an fp16 scale for 32 columns of a row, for matrices that are not quantized:
//     value = (byte - 128) * scale.
//
// Layout. bytes: 64 rows a tile, 32 columns a block.
//     [tile][block]: the fp16 scales of the 64 rows, then [quad of columns][64 rows][4 columns]:
//     value / scale + 128. Missing columns are 128.
#pragma once

#include "base/packed/block_inputs.h"
#include "base/packed/code_kernels.h"
#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr CodeKind bytes_kind{6};

inline constexpr Index byte_tile = 64;  ///< also the rows of a panel (base/packed/panel.h)
inline constexpr Index byte_block = input_block;
inline constexpr Index byte_scales = 2 * byte_tile;  ///< bytes before those of the values
inline constexpr Index byte_unit = byte_scales + byte_tile * byte_block;
inline constexpr std::int32_t byte_offset = 128;
static inline Index byte_blocks(const Segment& s) {
    return ceil_div(s.cols, byte_block);
}
/// Scales and values of block `block` of a tile.
static inline const std::uint8_t* byte_codes(const Segment& s, Index tile, Index block) {
    return s.codes + (tile * byte_blocks(s) + block) * byte_unit;
}
/// Where row r of a block begins its column j, after the scales.
static inline Index byte_position(Index r, Index j) {
    return byte_scales + (j / 4 * byte_tile + r) * 4 + j % 4;
}

/// CodeKernels::panel of all instruction sets.
PanelWeights byte_panel(const Tensor& t, const Segment& s, Index row, Index count, Index col,
                        Index cols, PanelRoom& room);

extern const PackedCode bytes_code;
extern const CodeKernels bytes_kernels_avx2;
extern const CodeKernels bytes_kernels_avx512vnni;

}  // namespace vq::decode
