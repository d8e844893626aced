// SPDX-License-Identifier: Apache-2.0
// The bitshift trellis with computed values (QTIP, 2406.11235): the state of row r of a tile is the
// 16 bits of the column's stream from bit K r on, and
//     value = (sum of four bytes of f(state) - 510) * gain.
// f(s) = C s mod 2^32.
//
// Layout. trellis: T rows a tile, K bits a weight, tail-biting: the bits of a column of a tile are
//     a cyclic stream, lowest bit first; the state of row r is its 16 bits from bit K r on.
//     [tile][pair of columns][32 rows][column of the pair]: 4K bytes. An odd last column has a twin
//     of zeros.
#pragma once

#include "base/packed/code_kernels.h"
#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr CodeKind trellis_kind{3};

struct TrellisSegment : Segment {
    int bits = 0;                  ///< K
    Index tile_rows = 0;           ///< T
    std::uint32_t multiplier = 0;  ///< C
    float gain = 0;
};
static inline const TrellisSegment& trellis_segment(const Segment& s) {
    return static_cast<const TrellisSegment&>(s);
}

inline constexpr Index trellis_chunk = 32;
inline constexpr Index trellis_most_rows = 4096;  ///< of a tile
/// Bytes of one pair of columns of a tile.
static inline Index trellis_pair_bytes(const TrellisSegment& s) {
    return s.tile_rows * 2 * s.bits / 8;
}
static inline Index trellis_pairs(const TrellisSegment& s) {
    return ceil_div(s.cols, 2);
}

/// The four bytes of f(state).
static inline std::uint32_t trellis_word(const TrellisSegment& s, std::uint32_t state) {
    return state * s.multiplier;
}

static inline std::int32_t byte_sum(std::uint32_t word) {
    return static_cast<std::int32_t>((word & 0xFFu) + (word >> 8 & 0xFFu) + (word >> 16 & 0xFFu) +
                                     (word >> 24));
}

/// What a sum of four bytes is on average, taken away from each.
inline constexpr std::int32_t byte_sum_mean = 510;

/// The codes of pair `pair` of tile `tile`.
static inline const std::uint8_t* trellis_codes(const TrellisSegment& s, Index tile, Index pair) {
    return s.codes + (tile * trellis_pairs(s) + pair) * trellis_pair_bytes(s);
}

/// State of row r of a tile, column `odd` (0, 1) of a pair whose codes begin at `pair`.
static inline std::uint32_t trellis_state(const TrellisSegment& s, const std::uint8_t* pair,
                                          Index odd, Index r) {
    const Index chunk_bytes = 4 * s.bits;
    const Index column_bytes = s.tile_rows / 8 * s.bits;
    const Index bit = r * s.bits;
    std::uint32_t window = 0;
    for (Index i = 0; i < 3; ++i) {
        Index at = bit / 8 + i;
        if (at >= column_bytes) at -= column_bytes;
        const Index chunk = at / chunk_bytes;
        window |= std::uint32_t{pair[(2 * chunk + odd) * chunk_bytes + at % chunk_bytes]} << 8 * i;
    }
    return window >> bit % 8 & 0xFFFFu;
}

/// y[r] += sum_j (four bytes of state (r, j) - 510) x_j for the rows of a tile; y: size (T).
using TrellisTile = void (*)(const TrellisSegment& s, const ByteActivations& x, Index tile,
                             float* y);
/// CodeKernels::rows by such a kernel.
void trellis_rows(const TrellisSegment& s, const void* inputs, Index row, float* y,
                  TrellisTile kernel);

extern const PackedCode trellis_code;
extern const CodeKernels trellis_kernels_avx2;
extern const CodeKernels trellis_kernels_avx512vnni;

}  // namespace vq::decode
