// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p.h"

#include <algorithm>
#include <cmath>

#include "base/packed/packed_code.h"
#include "lattice/e8p/e8p_patterns.h"

namespace vq::decode {

namespace {

/// Where the nibble of dimension d begins.
std::size_t shift_of(std::size_t d) {
    // Byte j has j and j + 4: one mask and one shift of a register of bytes give both halves.
    return 8 * (d % 4) + 4 * (d / 4);
}

template <std::size_t N>
void spread(const std::uint32_t (&words)[N], std::uint8_t (&bytes)[4][N]) {
    for (std::size_t k = 0; k < N; ++k)
        for (std::size_t j = 0; j < 4; ++j)
            bytes[j][k] = static_cast<std::uint8_t>(words[k] >> (8 * j));
}

E8pTables make() {
    const E8pPatterns& integers = e8p_integers();
    E8pTables t{};
    for (std::size_t k = 0; k < 256; ++k) {
        // |s| is 1/2, 3/2 or 5/2: two bits. A short vector has values from -2 to 2 in steps of 1/2.
        for (std::size_t d = 0; d < 8; ++d) {
            t.patterns[k] |= static_cast<std::uint32_t>(integers.twice_abs[k][d] - 1) / 2
                             << shift_of(d);
            t.shorts[k] |= static_cast<std::uint32_t>(integers.twice_short[k][d] + 4)
                           << shift_of(d);
        }
        // The sign of dimension 7 has no bit of its own: it is what makes the sum even. Each of the
        // others that is negative turns it round, and a pattern of odd sum does once more.
        if (integers.odd[k]) t.patterns[k] ^= 4u << shift_of(7);
    }
    for (std::size_t k = 0; k < 128; ++k) {
        for (std::size_t d = 0; d < 7; ++d)
            t.signs[k] ^= static_cast<std::uint32_t>(k >> d & 1u) * 4u << shift_of(d);
        if (__builtin_popcountll(k) % 2 != 0) t.signs[k] ^= 4u << shift_of(7);
    }
    spread(t.patterns, t.pattern_bytes);
    spread(t.signs, t.sign_bytes);
    spread(t.shorts, t.short_bytes);
    // Four copies, since permutations of bytes look up within 16 bytes of a register each. In
    // quarters s + shift is an integer; the offset makes it unsigned, as one side of the
    // instructions that multiply bytes must be.
    for (int i = 0; i < 64; ++i) {
        const int size = 2 + 4 * (i & 3);
        const int point = ((i & 4) != 0 ? -size : size) + ((i & 8) != 0 ? -1 : 1);
        t.values[0][i] = static_cast<std::uint8_t>(point + e8p_offset);
        t.values[1][i] = static_cast<std::uint8_t>((i & 15) - 4 + e8p_offset);
    }
    return t;
}

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    if (r.dim != 8 || r.along_outputs != 0 || place.cols % 8 != 0 || r.stages < 1 || r.stages > 2 ||
        r.stage_bits[0] != 16 || (r.stages == 2 && r.stage_bits[1] != 8 && r.stage_bits[1] != 16))
        fail_damaged("an E8P code is out of range", place.where);
    const auto s = make_segment<E8pSegment>(place);
    s->stages = static_cast<int>(r.stages);
    for (int m = 0; m < s->stages; ++m) {
        s->stage_bits[m] = static_cast<int>(r.stage_bits[m]);
        s->bits += s->stage_bits[m];
        s->gain[m] = r.gain[m];
        if (!std::isfinite(s->gain[m])) fail_damaged("a gain is not finite", place.where);
    }
    s->width = 8;
    // Products sum over the columns of a row, which then must share a scale.
    s->direct = place.tensor.scale_kind != ScaleKind::group;
    s->input_bytes = byte_room(s->cols).end;
    s->rows_an_item = e8p_tile;
    s->panels = s->direct && s->stages == 1;  // two stages are no multiples of one step
    s->code_bytes = product_or_none(s->rows / e8p_tile, s->groups(), e8p_unit(*s));
    return s;
}

void values(const Segment& any, Index row, Index first, Index count, float* out) {
    const E8pSegment& s = e8p_segment(any);
    const E8pTables& tables = e8p_tables();
    for (Index i = 0; i < count; ++i) {
        const std::uint8_t* codes = e8p_codes(s, row / e8p_tile, first + i);
        for (int m = 0; m < s.stages; ++m) {
            const int kind = e8p_stage_kind(s, m);
            const std::uint32_t nibbles =
                e8p_nibbles(tables, s.stage_bits[m], codes, row % e8p_tile);
            for (int d = 0; d < 8; ++d) {
                const float v =
                    static_cast<float>(e8p_integer(tables, kind, nibbles, d)) * e8p_step(s, m);
                out[8 * i + d] = m == 0 ? v : out[8 * i + d] + v;
            }
            codes += e8p_tile * s.stage_bits[m] / 8;
        }
    }
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index /*count*/,
          float* y) {
    constexpr Index vectors_a_group = activation_group / 8;
    const E8pSegment& s = e8p_segment(any);
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const E8pTables& tables = e8p_tables();
    for (Index g = 0; g * vectors_a_group < s.groups(); ++g) {
        const Index end = std::min(s.groups(), (g + 1) * vectors_a_group);
        Index stage_at = 0;
        for (int m = 0; m < s.stages; ++m) {
            // Activations have one scale for these columns: within them all is integer and exact.
            const float factor = x.scales[g] * e8p_step(s, m);
            for (Index r = 0; r < e8p_tile; ++r) {
                std::int32_t sum = 0;
                for (Index v = g * vectors_a_group; v < end; ++v) {
                    const std::uint32_t nibbles = e8p_nibbles(
                        tables, s.stage_bits[m], e8p_codes(s, row / e8p_tile, v) + stage_at, r);
                    for (int d = 0; d < 8; ++d)
                        sum += e8p_integer(tables, e8p_stage_kind(s, m), nibbles, d) *
                               x.bytes[8 * v + d];
                }
                y[r] += factor * static_cast<float>(sum);
            }
            stage_at += e8p_tile * s.stage_bits[m] / 8;
        }
    }
}

constexpr CodeKernels reference = {byte_inputs, rows, e8p_panel};

}  // namespace

const E8pTables& e8p_tables() {
    static const E8pTables tables = make();
    return tables;
}

PanelWeights e8p_panel(const Tensor& /*t*/, const Segment& any, Index row, Index /*count*/,
                       Index col, Index cols, PanelRoom& room) {
    const E8pSegment& s = e8p_segment(any);
    const E8pTables& tables = e8p_tables();
    for (Index v = 0; 8 * v < cols; ++v)
        for (Index r = 0; r < panel_rows; ++r) {
            const std::uint32_t nibbles =
                e8p_nibbles(tables, 16, e8p_codes(s, row / e8p_tile, col / 8 + v), r);
            for (int d = 0; d < 8; ++d)
                room.bytes[((2 * v + d / 4) * panel_rows + r) * 4 + d % 4] =
                    static_cast<std::uint8_t>(e8p_integer(tables, 0, nibbles, d) + panel_offset);
        }
    std::fill_n(room.row_scales, panel_rows, e8p_step(s, 0));
    return {room.bytes, room.row_scales};
}

const PackedCode e8p_code = {
    .kind = e8p_kind,
    .name = "e8p",
    .tile_rows = e8p_tile,
    .read = read,
    .check_codes = nullptr,
    .values = values,
    .block = nullptr,
    .kernels = {&reference, &e8p_kernels_avx2, &e8p_kernels_avx512vnni},
};

}  // namespace vq::decode
