// How many bytes the codes of a segment take.
#pragma once

#include "codebooks/bytes/bytes.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table.h"
#include "codebooks/scalar/grid.h"
#include "lattice/e8p/e8p.h"
#include "lattice/trellis/trellis.h"

namespace vq::decode {

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
