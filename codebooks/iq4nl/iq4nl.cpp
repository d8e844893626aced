// SPDX-License-Identifier: Apache-2.0
#include "codebooks/iq4nl/iq4nl.h"

#include <algorithm>

#include "base/packed/packed_code.h"

namespace vq::decode {

namespace {

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    if (r.dim != iq4nl_block || r.along_outputs != 0 || place.cols % iq4nl_block != 0 ||
        place.tensor.scale_kind == ScaleKind::group)
        fail_damaged("an IQ4_NL code is out of range", place.where);
    const auto s = make_segment<Segment>(place);
    s->direct = true;
    s->input_bytes = block_inputs_bytes(s->cols);
    s->rows_an_item = iq4nl_tile;
    s->panels = true;
    // A panel has one scale a row, so that it is no wider than a block.
    s->panel_cols = iq4nl_block;
    s->code_bytes = product_or_none(s->rows / iq4nl_tile, iq4nl_blocks(*s), iq4nl_unit);
    return s;
}

void check_scales(const Segment& s, const std::string& where) {
    for (Index i = 0; i < s.rows / iq4nl_tile * iq4nl_blocks(s); ++i) {
        const auto* scales = reinterpret_cast<const Half*>(s.codes + i * iq4nl_unit);
        if (!std::all_of(scales, scales + iq4nl_tile, finite))
            fail_damaged("a scale is not finite", where);
    }
}

void values(const Segment& s, Index row, Index first, Index count, float* out) {
    const Index r = row % iq4nl_tile;
    for (Index i = 0; i < count; ++i) {
        const Index column = first + i;
        const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, column / iq4nl_block);
        const float scale = float_from_half(reinterpret_cast<const Half*>(block)[r]);
        out[i] =
            scale * static_cast<float>(iq4nl_value(block, r, column % iq4nl_block) - iq4nl_offset);
    }
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const std::int32_t* block_sums = block_sums_in(inputs, s.cols);
    for (Index b = 0; b < iq4nl_blocks(s); ++b) {
        const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, b);
        const auto* scales = reinterpret_cast<const Half*>(block);
        const float x_scale = x.scales[b * iq4nl_block / activation_group];
        for (Index r = 0; r < iq4nl_tile; ++r) {
            std::int32_t sum = -iq4nl_offset * block_sums[b];
            for (Index j = 0; j < iq4nl_block; ++j)
                sum += iq4nl_value(block, r, j) * x.bytes[b * iq4nl_block + j];
            y[r] += float_from_half(scales[r]) * x_scale * static_cast<float>(sum);
        }
    }
}

PanelWeights panel(const Tensor& /*t*/, const Segment& s, Index row, Index /*count*/, Index col,
                   Index /*cols*/, PanelRoom& room) {
    const std::uint8_t* block = iq4nl_codes(s, row / iq4nl_tile, col / iq4nl_block);
    for (Index j = 0; j < iq4nl_block; ++j)
        for (Index r = 0; r < iq4nl_tile; ++r)
            room.bytes[(j / 4 * panel_rows + r) * 4 + j % 4] = iq4nl_value(block, r, j);
    float_from_half(reinterpret_cast<const Half*>(block), iq4nl_tile, room.row_scales);
    return {room.bytes, room.row_scales};
}

constexpr CodeKernels reference = {block_inputs, rows, panel};

}  // namespace

const PackedCode iq4nl_code = {
    .kind = iq4nl_kind,
    .name = "iq4nl",
    .tile_rows = iq4nl_tile,
    .read = read,
    .check_codes = check_scales,
    .values = values,
    .block = nullptr,
    .kernels = {&reference, &iq4nl_kernels_avx2, &iq4nl_kernels_avx512vnni},
};

}  // namespace vq::decode
