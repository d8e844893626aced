// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bytes/bytes.h"

#include <algorithm>

#include "base/packed/packed_code.h"

namespace vq::decode {

namespace {

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    if (r.dim != 1 || r.along_outputs != 0 || place.tensor.scale_kind == ScaleKind::group)
        fail_damaged("a code of bytes is out of range", place.where);
    const auto s = make_segment<Segment>(place);
    s->direct = true;
    s->input_bytes = block_inputs_bytes(s->cols);
    s->rows_an_item = byte_tile;
    s->panels = true;
    // A panel has one scale a row, so that it is no wider than a block.
    s->panel_cols = byte_block;
    s->code_bytes = product_or_none(s->rows / byte_tile, byte_blocks(*s), byte_unit);
    return s;
}

void check_scales(const Segment& s, const std::string& where) {
    for (Index i = 0; i < s.rows / byte_tile * byte_blocks(s); ++i) {
        const auto* scales = reinterpret_cast<const Half*>(s.codes + i * byte_unit);
        if (!std::all_of(scales, scales + byte_tile, finite))
            fail_damaged("a scale is not finite", where);
    }
}

void values(const Segment& s, Index row, Index first, Index count, float* out) {
    const Index r = row % byte_tile;
    for (Index i = 0; i < count;) {
        const Index column = first + i;
        const std::uint8_t* block = byte_codes(s, row / byte_tile, column / byte_block);
        const float scale = float_from_half(reinterpret_cast<const Half*>(block)[r]);
        const Index end = std::min(count, (column / byte_block + 1) * byte_block - first);
        for (; i < end; ++i)
            out[i] = scale * static_cast<float>(block[byte_position(r, (first + i) % byte_block)] -
                                                byte_offset);
    }
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    const ByteActivations x = activations_in(inputs, byte_room(s.cols));
    const std::int32_t* block_sums = block_sums_in(inputs, s.cols);
    for (Index b = 0; b < byte_blocks(s); ++b) {
        const std::uint8_t* block = byte_codes(s, row / byte_tile, b);
        const auto* scales = reinterpret_cast<const Half*>(block);
        const float x_scale = x.scales[b * byte_block / activation_group];
        for (Index r = 0; r < byte_tile; ++r) {
            std::int32_t sum = -byte_offset * block_sums[b];
            for (Index j = 0; j < byte_block; ++j)
                sum += block[byte_position(r, j)] * x.bytes[b * byte_block + j];
            y[r] += float_from_half(scales[r]) * x_scale * static_cast<float>(sum);
        }
    }
}

constexpr CodeKernels reference = {block_inputs, rows, byte_panel};

}  // namespace

/// Blocks are panels as they lie, but for the type of their scales.
PanelWeights byte_panel(const Tensor& /*t*/, const Segment& s, Index row, Index /*count*/,
                        Index col, Index /*cols*/, PanelRoom& room) {
    const std::uint8_t* block = byte_codes(s, row / byte_tile, col / byte_block);
    float_from_half(reinterpret_cast<const Half*>(block), byte_tile, room.row_scales);
    return {block + byte_scales, room.row_scales};
}

const PackedCode bytes_code = {
    .kind = bytes_kind,
    .name = "bytes",
    .tile_rows = byte_tile,
    .read = read,
    .check_codes = check_scales,
    .values = values,
    .block = nullptr,
    .kernels = {&reference, &bytes_kernels_avx2, &bytes_kernels_avx512vnni},
};

}  // namespace vq::decode
