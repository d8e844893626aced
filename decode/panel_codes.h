// Codes whose values are whole steps already, scalar grids and E8P of one stage, as panels for
// products with many vectors: nothing is decoded to floats and rounded, and such products give the
// same bits as those with one vector.
#pragma once

#include "base/packed/activation.h"
#include "base/packed/panel.h"
#include "codebooks/scalar/grid.h"
#include "lattice/e8p/e8p.h"

namespace vq::decode {

static_assert(grid_offset == panel_offset && grid_tile == panel_rows && e8p_tile == panel_rows);

static inline bool whole_steps(const Segment& s) {
    return s.code == CodeKind::grid || (s.code == CodeKind::e8p && s.stages == 1);
}
/// w = (byte - panel_offset) * panel_step, times scales.
static inline float panel_step(const Segment& s) {
    return s.code == CodeKind::grid ? s.grid->step : e8p_step(s, 0);
}

/// Kernels::code_panel in plain code.
static inline void code_panel_plain(const Segment& s, Index tile, Index group, Index quads,
                                    std::uint8_t* bytes) {
    const Index first = group * activation_group;
    if (s.code == CodeKind::grid) {
        for (Index j = 0; j < 4 * quads; ++j) {
            const std::uint8_t* codes = grid_codes(s, tile, (first + j) / grid_step);
            for (Index r = 0; r < panel_rows; ++r)
                bytes[(j / 4 * panel_rows + r) * 4 + j % 4] =
                    s.grid->bytes[grid_code(codes, s.bits, r, j % grid_step)];
        }
        return;
    }
    const E8pTables& tables = e8p_tables();
    for (Index v = 0; 2 * v < quads; ++v)
        for (Index r = 0; r < panel_rows; ++r) {
            const std::uint32_t nibbles =
                e8p_nibbles(tables, 16, e8p_codes(s, tile, first / 8 + v), r);
            for (int d = 0; d < 8; ++d)
                bytes[((2 * v + d / 4) * panel_rows + r) * 4 + d % 4] =
                    static_cast<std::uint8_t>(e8p_integer(tables, 0, nibbles, d) + panel_offset);
        }
}

}  // namespace vq::decode
