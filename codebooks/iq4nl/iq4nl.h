// SPDX-License-Identifier: Apache-2.0
// IQ4_NL codes (iq4nl_code.h says what they mean) for integer kernels: an index becomes a byte by
// one shuffle of a register that holds the sixteen levels,
//     value = (byte - 128) * scale.
//
// Layout. iq4nl: 64 rows a tile, 32 columns a block.
//     [tile][block]: the fp16 scales of the 64 rows, then [dword, 4 of them][64 rows]: 4 bytes,
//     where byte k of dword d has column 8 d + k in its low half and column 8 d + 4 + k in its high
//     one, so that either half is a quad of columns as the products read it.
#pragma once

#include <array>

#include "base/packed/block_inputs.h"
#include "base/packed/code_kernels.h"
#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr CodeKind iq4nl_kind{7};  ///< in files

inline constexpr Index iq4nl_tile = 64;  ///< also the rows of a panel (base/packed/panel.h)
inline constexpr Index iq4nl_block = input_block;
inline constexpr Index iq4nl_scales = 2 * iq4nl_tile;  ///< bytes before those of the indices
inline constexpr Index iq4nl_unit = iq4nl_scales + iq4nl_tile * iq4nl_block / 2;
inline constexpr std::int32_t iq4nl_offset = 128;

/// level + iq4nl_offset.
alignas(64) inline constexpr std::array<std::uint8_t, 16> iq4nl_bytes = {
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

static inline Index iq4nl_blocks(const Segment& s) {
    return s.cols / iq4nl_block;
}
/// Scales and indices of block `block` of a tile.
static inline const std::uint8_t* iq4nl_codes(const Segment& s, Index tile, Index block) {
    return s.codes + (tile * iq4nl_blocks(s) + block) * iq4nl_unit;
}
/// The byte of a block that holds row r and column j.
static inline Index iq4nl_byte(Index r, Index j) {
    return iq4nl_scales + (j / 8 * iq4nl_tile + r) * 4 + j % 4;
}
static inline int iq4nl_shift(Index j) {
    return static_cast<int>(j % 8 / 4) * 4;
}
static inline std::uint8_t iq4nl_value(const std::uint8_t* block, Index r, Index j) {
    return iq4nl_bytes[std::uint32_t{block[iq4nl_byte(r, j)]} >> iq4nl_shift(j) & 15u];
}

extern const PackedCode iq4nl_code;
extern const CodeKernels iq4nl_kernels_avx2;
extern const CodeKernels iq4nl_kernels_avx512vnni;

}  // namespace vq::decode
