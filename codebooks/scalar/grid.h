// Scalar grids of 1 to 4 bits for integer kernels: a code becomes an unsigned byte by a shuffle of
// a register that holds the whole table. The values are rounded to whole steps,
//     value = (byte - 128) * step,
// with the step, largest / 127 to largest / 64, that errs least: at most by step / 2. Grids of
// equal steps and of few mantissa bits come out exact.
#pragma once

#include "base/packed/layout.h"

namespace vq::decode {

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

}  // namespace vq::decode
