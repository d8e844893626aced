// SPDX-License-Identifier: Apache-2.0
// E8P codes (QuIP#, 2402.04396; lattice/e8p/e8p_table.h says what they mean) for integer kernels.
// A code becomes 8 nibbles, a nibble an unsigned byte from a table of 16:
//     16 bits: bits 0, 1: (2 |s_i| - 1) / 2; bit 2: the sign; bit 3: the shift;
//              byte - 16 = 4 (s_i + shift), so that one step is gain / 4;
//     8 bits:  nibble - 4 = byte - 16 = 2 p_i of a short vector; one step is gain / 2.
// Byte j of the 8 nibbles has dimension j below and dimension j + 4 above.
//
// Layout. e8p: 64 rows a tile, vectors of 8 columns a group.
//     [tile][group][stage]: 64 bytes, the low 8 bits of 64 rows, and after these 64 bytes with the
//     high 8 where the stage has 16. Row r of a tile is byte (r % 16) / 4 * 16 + r / 16 * 4 + r %
//     4: two rounds of unpacking bytes put rows 16 i to 16 i + 15 into one register.
#pragma once

#include "base/packed/code_kernels.h"
#include "base/packed/panel.h"
#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr CodeKind e8p_kind{4};

struct E8pSegment : Segment {
    int stages = 0;
    int stage_bits[2] = {};
    int bits = 0;  ///< of a code
    float gain[2] = {};

    Index groups() const { return cols / 8; }
};
static inline const E8pSegment& e8p_segment(const Segment& s) {
    return static_cast<const E8pSegment&>(s);
}

inline constexpr Index e8p_tile = 64;
/// Bytes of all stages of a tile and group.
static inline Index e8p_unit(const E8pSegment& s) {
    return e8p_tile * s.bits / 8;
}
/// Byte of row r of a tile.
static inline Index e8p_position(Index r) {
    return r % 16 / 4 * 16 + r / 16 * 4 + r % 4;
}
/// The codes of group `group` of a tile.
static inline const std::uint8_t* e8p_codes(const E8pSegment& s, Index tile, Index group) {
    return s.codes + (tile * s.groups() + group) * e8p_unit(s);
}

inline constexpr std::int32_t e8p_offset = 16;
/// What its bytes lack of those of a panel.
inline constexpr std::int32_t e8p_to_panel = panel_offset - e8p_offset;

struct E8pTables {
    /// The nibbles of all patterns (with the sign of dimension 7 where an odd number is negative),
    /// to be xored with those of the 7 sign bits; and of the short vectors.
    std::uint32_t patterns[256];
    std::uint32_t signs[128];
    std::uint32_t shorts[256];
    /// The same, byte by byte, for permutations of registers.
    alignas(64) std::uint8_t pattern_bytes[4][256];
    alignas(64) std::uint8_t sign_bytes[4][128];
    alignas(64) std::uint8_t short_bytes[4][256];
    /// Bytes of nibbles of 16 bits [0] and of 8 bits [1], four times over.
    alignas(64) std::uint8_t values[2][64];
};
const E8pTables& e8p_tables();

/// Which of E8pTables::values a stage has.
static inline int e8p_stage_kind(const E8pSegment& s, int stage) {
    return s.stage_bits[stage] == 16 ? 0 : 1;
}
static inline float e8p_step(const E8pSegment& s, int stage) {
    return s.gain[stage] * (e8p_stage_kind(s, stage) == 0 ? 0.25F : 0.5F);
}

/// The 8 nibbles of row r's code; `codes`: of one stage of a tile and group.
static inline std::uint32_t e8p_nibbles(const E8pTables& t, int bits, const std::uint8_t* codes,
                                        Index r) {
    const Index at = e8p_position(r);
    if (bits == 8) return t.shorts[codes[at]];
    const std::uint32_t high = codes[e8p_tile + at];
    return t.patterns[codes[at]] ^ t.signs[high & 127u] ^ (high >> 7) * 0x88888888u;
}

/// The integer of dimension d.
static inline std::int32_t e8p_integer(const E8pTables& t, int kind, std::uint32_t nibbles, int d) {
    return t.values[kind][nibbles >> (8 * (d % 4) + 4 * (d / 4)) & 15u] - e8p_offset;
}

static_assert(e8p_tile == panel_rows);
/// CodeKernels::panel in plain code, of codes of one stage.
PanelWeights e8p_panel(const Tensor& t, const Segment& s, Index row, Index count, Index col,
                       Index cols, PanelRoom& room);

extern const PackedCode e8p_code;
extern const CodeKernels e8p_kernels_avx2;
extern const CodeKernels e8p_kernels_avx512vnni;

}  // namespace vq::decode
