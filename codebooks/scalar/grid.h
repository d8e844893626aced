// SPDX-License-Identifier: Apache-2.0
// Scalar grids of 1 to 4 bits for integer kernels: a code becomes an unsigned byte by a shuffle of
// a register that holds the whole table. The values are rounded to whole steps,
//     value = (byte - 128) * step,
// with the step, largest / 127 to largest / 64, that errs least: at most by step / 2. Grids of
// equal steps and of few mantissa bits come out exact.
//
// Layout. grid: 64 rows a tile, 32 columns a step, b bits a code.
//     [tile][step][dword, b of them][64 rows]: 4 bytes, where field f of w bits of byte k of dword
//     d belongs to column 32 / w * d + 4 f + k. w = b; codes of 3 bits have their low 2 bits in two
//     dwords with w = 2 and their highest one in a third with w = 1.
#pragma once

#include "base/packed/code_kernels.h"
#include "base/packed/panel.h"
#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr CodeKind grid_kind{5};

struct GridTable;

struct GridSegment : Segment {
    int bits = 0;                      ///< of a code
    const float* values = nullptr;     ///< [2^bits]
    const GridTable* table = nullptr;  ///< the same for integer kernels
};
static inline const GridSegment& grid_segment(const Segment& s) {
    return static_cast<const GridSegment&>(s);
}

inline constexpr Index grid_tile = 64;
inline constexpr Index grid_step = 32;
inline constexpr int grid_most_bits = 4;
static inline Index grid_steps(const GridSegment& s) {
    return ceil_div(s.cols, grid_step);
}
/// The codes of step `step` of a tile.
static inline const std::uint8_t* grid_codes(const GridSegment& s, Index tile, Index step) {
    return s.codes + (tile * grid_steps(s) + step) * s.bits * 4 * grid_tile;
}
/// Where the code of row r and column j of a step begins, in fields of w bits: byte and shift.
static inline Index grid_byte(int w, Index r, Index j) {
    return (j * w / 32 * grid_tile + r) * 4 + j % 4;
}
static inline int grid_shift(int w, Index j) {
    return static_cast<int>(j % (32 / w) / 4) * w;
}
static inline std::uint32_t grid_field(const std::uint8_t* codes, int bits, Index r, Index j) {
    const int w = bits == 3 ? 2 : bits;
    std::uint32_t code =
        std::uint32_t{codes[grid_byte(w, r, j)]} >> grid_shift(w, j) & ((1u << w) - 1u);
    if (bits == 3)
        code |= (std::uint32_t{codes[8 * grid_tile + grid_byte(1, r, j)]} >> grid_shift(1, j) & 1u)
                << 2;
    return code;
}

inline constexpr std::int32_t grid_offset = 128;
/// What rounding may add to the squared error that a grid makes by itself, taken as a twelfth of
/// the square of the median gap between its values.
inline constexpr double grid_tolerance = 0.01;

struct GridTable {
    alignas(64) std::uint8_t bytes[64];  ///< all 2^bits, over and over
    float step;
    double error;  ///< mean squared error of the values
};
/// values: size (2^bits), finite.
GridTable round_grid(const float* values, int bits);
/// Whether rounding stays within grid_tolerance: not so where one value lies far from the others.
bool grid_fits(const float* values, int bits);

static_assert(grid_offset == panel_offset && grid_tile == panel_rows);

/// y[r] += sum_j w_rj x_j for the 64 rows of tile `tile`, over the groups [begin, end) of
/// activations; y: size (64).
using GridTile = void (*)(const GridSegment& s, const ByteActivations& x, Index tile, Index begin,
                          Index end, float* y);
/// CodeKernels::rows by such a kernel. With scales a group of columns each of those is a product of
/// its own.
void grid_rows(const Tensor& t, const GridSegment& s, const void* inputs, Index row, float* y,
               GridTile kernel);

extern const PackedCode grid_code;
extern const CodeKernels grid_kernels_avx2;
extern const CodeKernels grid_kernels_avx512vnni;

}  // namespace vq::decode
