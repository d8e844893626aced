// SPDX-License-Identifier: Apache-2.0
#include "codebooks/scalar/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/packed/packed_code.h"

namespace vq::decode {

namespace {

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    if (r.dim != 1 || r.stages != 1 || r.stage_bits[0] > grid_most_bits || r.along_outputs != 0)
        fail_damaged("a scalar grid is out of range", place.where);
    const Tensor& t = place.tensor;
    const auto s = make_segment<GridSegment>(place);
    s->values = place.books.values(r.codebook[0], r.stage_bits[0], 1, place.where);
    s->bits = static_cast<int>(r.stage_bits[0]);
    s->table = place.books.made<GridTable>({r.codebook[0]},
                                           [&] { return round_grid(s->values, s->bits); });
    // Sums of whole groups of activations are scaled.
    s->direct = t.scale_kind != ScaleKind::group ||
                (t.scale_group % activation_group == 0 && s->col0 % activation_group == 0);
    s->input_bytes = byte_room(s->cols).end;
    s->rows_an_item = grid_tile;
    s->panels = s->direct;
    s->code_bytes = product_or_none(s->rows / grid_tile, grid_steps(*s), s->bits * 4 * grid_tile);
    return s;
}

void values(const Segment& any, Index row, Index first, Index count, float* out) {
    const GridSegment& s = grid_segment(any);
    for (Index i = 0; i < count; ++i) {
        const Index column = first + i;
        out[i] = s.values[grid_field(grid_codes(s, row / grid_tile, column / grid_step), s.bits,
                                     row % grid_tile, column % grid_step)];
    }
}

void tile_rows(const GridSegment& s, const ByteActivations& x, Index tile, Index begin, Index end,
               float* y) {
    for (Index g = begin; g < end; ++g) {
        const Index last = std::min(s.cols, (g + 1) * activation_group);
        const float factor = x.scales[g] * s.table->step;
        for (Index r = 0; r < grid_tile; ++r) {
            // Entries are without a sign by an offset; what that adds to a row is known from the
            // inputs.
            std::int32_t sum = -grid_offset * x.sums[g];
            for (Index j = g * activation_group; j < last; ++j)
                sum += s.table->bytes[grid_field(grid_codes(s, tile, j / grid_step), s.bits, r,
                                                 j % grid_step)] *
                       x.bytes[j];
            y[r] += factor * static_cast<float>(sum);
        }
    }
}

void rows(const Tensor& t, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    grid_rows(t, grid_segment(s), inputs, row, y, tile_rows);
}

PanelWeights panel(const Tensor& t, const Segment& any, Index row, Index /*count*/, Index col,
                   Index cols, PanelRoom& room) {
    const GridSegment& s = grid_segment(any);
    for (Index j = 0; j < ceil_div(cols, 4) * 4; ++j) {
        const std::uint8_t* codes = grid_codes(s, row / grid_tile, (col + j) / grid_step);
        for (Index r = 0; r < panel_rows; ++r)
            room.bytes[(j / 4 * panel_rows + r) * 4 + j % 4] =
                s.table->bytes[grid_field(codes, s.bits, r, j % grid_step)];
    }
    step_scales(t, row, s.col0 + col, s.table->step, room.row_scales);
    return {room.bytes, room.row_scales};
}

constexpr CodeKernels reference = {byte_inputs, rows, panel};

}  // namespace

void grid_rows(const Tensor& t, const GridSegment& s, const void* inputs, Index row, float* y,
               GridTile kernel) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const Index tile = row / grid_tile;
    const Index groups = ceil_div(s.cols, activation_group);
    if (t.scale_kind != ScaleKind::group) {
        kernel(s, x, tile, 0, groups, y);
        return;
    }
    const Index wide = t.scale_group / activation_group;
    const Index first = s.col0 / activation_group;
    const Index scales_a_row = ceil_div(t.padded_cols, t.scale_group);
    for (Index g = 0; g < groups;) {
        const Index column = (first + g) / wide;
        const Index end = std::min(groups, (column + 1) * wide - first);
        float sums[grid_tile] = {};
        kernel(s, x, tile, g, end, sums);
        const Half* scale = t.scales + row * scales_a_row + column;
        for (Index r = 0; r < grid_tile; ++r)
            y[r] += float_from_half(scale[r * scales_a_row]) * sums[r];
        g = end;
    }
}

GridTable round_grid(const float* values, int bits) {
    const int entries = 1 << bits;
    float largest = 0;
    for (int e = 0; e < entries; ++e) largest = std::max(largest, std::fabs(values[e]));
    GridTable best{};
    best.error = std::numeric_limits<double>::infinity();
    // Levels that are multiples of a step (integers, floating points) are met exactly by the right
    // one. Steps above largest / 64 are multiples of one that was tried.
    for (int most = 127; most >= 64; --most) {
        GridTable t{};
        t.step = largest / static_cast<float>(most);
        for (int e = 0; e < 64; ++e) {
            // Over and over, up to 64 bytes: as long as the permutation of a register looks up.
            const float v = values[e % entries];
            // A step that underflows to zero has no multiples.
            const float q = t.step > 0 ? std::round(v / t.step) : 0;
            const int whole = static_cast<int>(std::clamp(q, -127.0F, 127.0F));
            t.bytes[e] = static_cast<std::uint8_t>(whole + grid_offset);
            const double off = static_cast<double>(v) - static_cast<double>(t.step) * whole;
            t.error += off * off / 64;
        }
        if (t.error < best.error) best = t;
    }
    return best;
}

bool grid_fits(const float* values, int bits) {
    std::vector<double> sorted(values, values + (Index{1} << bits));
    std::sort(sorted.begin(), sorted.end());
    std::vector<double> gaps;
    for (std::size_t i = 1; i < sorted.size(); ++i) gaps.push_back(sorted[i] - sorted[i - 1]);
    const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
    std::nth_element(gaps.begin(), middle, gaps.end());
    // A quantizer with steps of this gap has an error of gap^2 / 12 already.
    return round_grid(values, bits).error <= grid_tolerance * *middle * *middle / 12;
}

const PackedCode grid_code = {
    .kind = grid_kind,
    .name = "grid",
    .tile_rows = grid_tile,
    .read = read,
    .check_codes = nullptr,
    .values = values,
    .block = nullptr,
    .kernels = {&reference, &grid_kernels_avx2, &grid_kernels_avx512vnni},
};

}  // namespace vq::decode
