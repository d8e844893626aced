// SPDX-License-Identifier: Apache-2.0
#include "codebooks/scalar/grid_pack.h"

#include <algorithm>

#include "base/error.h"
#include "codebooks/residual/residual_pack.h"
#include "codebooks/scalar/grid.h"

namespace vq {

namespace {

bool suits_grid(const SegmentView& s) {
    const std::vector<int>& bits = s.code->stage_bits();
    return s.code->dim() == 1 && bits.size() == 1 && bits[0] <= decode::grid_most_bits &&
           decode::grid_fits(s.code->parameters().data(), bits[0]);
}

}  // namespace

std::optional<PackedSegments> pack_grid(const CodedView& tensor) {
    if (!std::all_of(tensor.segments.begin(), tensor.segments.end(), suits_grid))
        return std::nullopt;
    PackedSegments out;
    out.padded_rows = decode::ceil_div(tensor.rows, decode::grid_tile) * decode::grid_tile;
    for (const SegmentView& s : tensor.segments) {
        // Vectors of one weight lie along outputs as along inputs.
        PackedSegment& packed = out.segments.emplace_back(codebook_segment(decode::grid_kind, s));
        packed.codes = grid_layout(s.codes, tensor.rows, s.cols, s.code->bits());
    }
    return out;
}

std::vector<std::uint8_t> grid_layout(std::span<const std::uint64_t> codes, Index rows, Index cols,
                                      int bits) {
    using namespace decode;
    VQ_ASSERT(static_cast<Index>(codes.size()) == rows * cols);
    const Index steps = ceil_div(cols, grid_step);
    const Index unit = bits * 4 * grid_tile;
    const int w = bits == 3 ? 2 : bits;
    std::vector<std::uint8_t> out(
        static_cast<std::size_t>(ceil_div(rows, grid_tile) * steps * unit));
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < cols; ++j) {
            const std::uint64_t code = codes[static_cast<std::size_t>(i * cols + j)];
            std::uint8_t* to = out.data() + (i / grid_tile * steps + j / grid_step) * unit;
            const Index r = i % grid_tile;
            const Index c = j % grid_step;
            to[grid_byte(w, r, c)] |=
                static_cast<std::uint8_t>((code & ((1u << w) - 1u)) << grid_shift(w, c));
            if (bits == 3)
                to[8 * grid_tile + grid_byte(1, r, c)] |=
                    static_cast<std::uint8_t>((code >> 2) << grid_shift(1, c));
        }
    return out;
}

}  // namespace vq
