// SPDX-License-Identifier: Apache-2.0
// The codebooks of the IQ types of GGUF files: vectors of 4 or 8 small numbers that an index of 8
// to 11 bits picks. They are tables of the format, fixed once for all files.
#pragma once

#include <array>
#include <cstdint>

namespace vq {

/// `count` vectors of `dims` numbers, one after the other.
template <int count, int dims>
using GgmlGrid = std::array<std::int8_t, static_cast<std::size_t>(count* dims)>;

extern const GgmlGrid<256, 8> iq2_xxs_grid;  ///< of 8, 25, 43
extern const GgmlGrid<512, 8> iq2_xs_grid;   ///< of 8, 25, 43
extern const GgmlGrid<1024, 8> iq2_s_grid;   ///< of 8, 25, 43
extern const GgmlGrid<256, 4> iq3_xxs_grid;  ///< of 4, 12, 20, 28, 36, 44, 52, 62
extern const GgmlGrid<512, 4> iq3_s_grid;    ///< of 1, 3, ... 15
extern const GgmlGrid<2048, 8> iq1_grid;     ///< of -1, 0, 1; IQ1_S and IQ1_M

}  // namespace vq
