// Where codes lie in a packed segment: shared by the kernels and by the exporter that writes them.
//
// lut: codes of 8 + e bits, d columns a group, 64 rows a tile, 16 groups a block.
//     [block][tile][group in block][stage]: 64 bytes, the low 8 bits of 64 rows, then e planes of 8
//     bytes, a bit for each. Row r of a tile is byte 2r (r < 32) or 2r - 63: even bytes are rows
//     0-31, odd ones 32-63, so that 16-bit sums of even and odd bytes come out in order of rows.
// trellis: T rows a tile, K bits a weight, tail-biting: the bits of a column of a tile are a cyclic
//     stream, lowest bit first; the state of row r is its 16 bits from bit K r on.
//     [tile][pair of columns][32 rows][column of the pair]: 4K bytes. An odd last column has a twin
//     of zeros.
// e8p: 64 rows a tile, vectors of 8 columns a group.
//     [tile][group][stage]: 64 bytes, the low 8 bits of 64 rows, and after these 64 bytes with the
//     high 8 where the stage has 16. Row r of a tile is byte (r % 16) / 4 * 16 + r / 16 * 4 + r %
//     4: two rounds of unpacking bytes put rows 16 i to 16 i + 15 into one register.
// grid: 64 rows a tile, 32 columns a step, b bits a code.
//     [tile][step][dword, b of them][64 rows]: 4 bytes, where field f of w bits of byte k of dword
//     d belongs to column 32 / w * d + 4 f + k. w = b; codes of 3 bits have their low 2 bits in two
//     dwords with w = 2 and their highest one in a third with w = 1.
// bytes: 64 rows a tile, 32 columns a block: [tile][block]: the fp16 scales of the 64 rows, then
//     [quad of columns][64 rows][4 columns]: value / scale + 128. Missing columns are 128.
// table: [row, or band of `dim` rows][vector]: codes one after the other, lowest bit first; every
//     row (band) begins with a whole byte.
#pragma once

#include <cstdint>

#include "decode/packed_file.h"

namespace vq::decode {

inline constexpr Index lut_tile = 64;
inline constexpr Index lut_block = 16;
inline constexpr int lut_least_bits = 8;
inline constexpr int lut_most_bits = 10;

static inline Index ceil_div(Index a, Index b) {
    return (a + b - 1) / b;
}

/// Bytes of one stage's codes of a tile and group.
static inline Index lut_stage_bytes(int bits) {
    return lut_tile + 8 * (bits - lut_least_bits);
}
/// Bytes of all stages of a tile and group.
static inline Index lut_unit(const Segment& s) {
    Index bytes = 0;
    for (int m = 0; m < s.stages; ++m) bytes += lut_stage_bytes(s.stage_bits[m]);
    return bytes;
}
static inline Index lut_groups(const Segment& s, Index block) {
    const Index left = s.groups() - block * lut_block;
    return left < lut_block ? left : lut_block;
}
/// Start of a tile's codes in a block.
static inline Index lut_offset(const Segment& s, Index tiles, Index block, Index tile) {
    return (tiles * block * lut_block + tile * lut_groups(s, block)) * lut_unit(s);
}
/// Byte (and bit of the planes) of row r of a tile.
static inline Index lut_position(Index r) {
    return r < 32 ? 2 * r : 2 * r - 63;
}

inline constexpr Index trellis_chunk = 32;
inline constexpr Index trellis_most_rows = 4096;  ///< of a tile
/// Bytes of one pair of columns of a tile.
static inline Index trellis_pair_bytes(const Segment& s) {
    return s.tile_rows * 2 * s.trellis_bits / 8;
}
static inline Index trellis_pairs(const Segment& s) {
    return ceil_div(s.cols, 2);
}

inline constexpr Index e8p_tile = 64;
/// Bytes of all stages of a tile and group.
static inline Index e8p_unit(const Segment& s) {
    return e8p_tile * s.bits / 8;
}
/// Byte of row r of a tile.
static inline Index e8p_position(Index r) {
    return r % 16 / 4 * 16 + r / 16 * 4 + r % 4;
}
/// The codes of group `group` of a tile.
static inline const std::uint8_t* e8p_codes(const Segment& s, Index tile, Index group) {
    return s.codes + (tile * s.groups() + group) * e8p_unit(s);
}

inline constexpr Index grid_tile = 64;
inline constexpr Index grid_step = 32;
static inline Index grid_steps(const Segment& s) {
    return ceil_div(s.cols, grid_step);
}
/// The codes of step `step` of a tile.
static inline const std::uint8_t* grid_codes(const Segment& s, Index tile, Index step) {
    return s.codes + (tile * grid_steps(s) + step) * s.bits * 4 * grid_tile;
}
/// Where the code of row r and column j of a step begins, in fields of w bits: byte and shift.
static inline Index grid_byte(int w, Index r, Index j) {
    return (j * w / 32 * grid_tile + r) * 4 + j % 4;
}
static inline int grid_shift(int w, Index j) {
    return static_cast<int>(j % (32 / w) / 4) * w;
}
static inline std::uint32_t grid_code(const std::uint8_t* codes, int bits, Index r, Index j) {
    const int w = bits == 3 ? 2 : bits;
    std::uint32_t code = codes[grid_byte(w, r, j)] >> grid_shift(w, j) & ((1u << w) - 1u);
    if (bits == 3)
        code |= (codes[8 * grid_tile + grid_byte(1, r, j)] >> grid_shift(1, j) & 1u) << 2;
    return code;
}

inline constexpr Index byte_tile = 64;  // and panel_rows
inline constexpr Index byte_block = 32;
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

static inline Index table_row_bytes(const Segment& s) {
    return ceil_div((s.along_outputs ? s.cols : s.groups()) * s.bits, 8);
}

/// Bytes of a segment's codes without the slack; -1 when it does not fit into an Index.
static inline Index code_bytes(const Segment& s, Index padded_rows) {
    Index units = 0;
    Index unit = 0;
    switch (s.code) {
        case CodeKind::lut:
            units = padded_rows / lut_tile;
            if (__builtin_mul_overflow(units, s.groups(), &units)) return -1;
            unit = lut_unit(s);
            break;
        case CodeKind::table:
            units = s.along_outputs ? padded_rows / s.dim : padded_rows;
            unit = table_row_bytes(s);
            break;
        case CodeKind::trellis:
            units = padded_rows / s.tile_rows;
            if (__builtin_mul_overflow(units, trellis_pairs(s), &units)) return -1;
            unit = trellis_pair_bytes(s);
            break;
        case CodeKind::e8p:
            units = padded_rows / e8p_tile;
            if (__builtin_mul_overflow(units, s.groups(), &units)) return -1;
            unit = e8p_unit(s);
            break;
        case CodeKind::grid:
            units = padded_rows / grid_tile;
            if (__builtin_mul_overflow(units, grid_steps(s), &units)) return -1;
            unit = s.bits * 4 * grid_tile;
            break;
        case CodeKind::bytes:
            units = padded_rows / byte_tile;
            if (__builtin_mul_overflow(units, byte_blocks(s), &units)) return -1;
            unit = byte_unit;
            break;
    }
    Index bytes = 0;
    return __builtin_mul_overflow(units, unit, &bytes) ? -1 : bytes;
}

}  // namespace vq::decode
