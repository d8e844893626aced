// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/trellis.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/packed/packed_code.h"

namespace vq::decode {

namespace {

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    const Tensor& t = place.tensor;
    if (r.trellis_bits < 1 || r.trellis_bits > 4 || r.tile_rows < trellis_chunk ||
        r.tile_rows > trellis_most_rows || r.tile_rows % trellis_chunk != 0 ||
        t.padded_rows % static_cast<Index>(r.tile_rows) != 0 ||
        r.trellis_value != TrellisValue::byte_sum || !std::isfinite(r.gain[0]) ||
        t.scale_kind == ScaleKind::group ||
        // Another function of the state would need them: better refused than decoded as this one.
        r.multiplier[1] != 0 || r.addend[0] != 0 || r.addend[1] != 0)
        fail_damaged("a trellis is out of range", place.where);
    const auto s = make_segment<TrellisSegment>(place);
    s->bits = static_cast<int>(r.trellis_bits);
    s->tile_rows = r.tile_rows;
    s->multiplier = r.multiplier[0];
    s->gain = r.gain[0];
    s->direct = true;
    s->input_bytes = byte_room(s->cols).end;
    s->rows_an_item = s->tile_rows;
    s->panels = true;
    s->code_bytes =
        product_or_none(s->rows / s->tile_rows, trellis_pairs(*s), trellis_pair_bytes(*s));
    return s;
}

float value_of(const TrellisSegment& s, std::uint32_t state) {
    return static_cast<float>(byte_sum(trellis_word(s, state)) - byte_sum_mean) * s.gain;
}

void values(const Segment& any, Index row, Index first, Index count, float* out) {
    const TrellisSegment& s = trellis_segment(any);
    for (Index i = 0; i < count; ++i) {
        const Index column = first + i;
        out[i] = value_of(s, trellis_state(s, trellis_codes(s, row / s.tile_rows, column / 2),
                                           column % 2, row % s.tile_rows));
    }
}

/// Column by column, so that a stream's bytes are gathered once for the rows of a chunk.
void block(const Segment& any, Index row, Index rows, Index col, Index cols, float* out,
           Index stride) {
    const TrellisSegment& s = trellis_segment(any);
    const Index k = s.bits;
    const Index chunks = s.tile_rows / trellis_chunk;
    for (Index r0 = row; r0 < row + rows;) {
        const Index in_tile = r0 % s.tile_rows;
        const Index chunk = in_tile / trellis_chunk;
        const Index begin = in_tile % trellis_chunk;
        const Index end = std::min(trellis_chunk, begin + row + rows - r0);
        const Index next = (chunk + 1) % chunks;
        for (Index c = col; c < col + cols; ++c) {
            const std::uint8_t* pair = trellis_codes(s, r0 / s.tile_rows, c / 2);
            std::uint8_t bytes[4 * 4 + 4] = {};  // the chunk and what follows it
            std::memcpy(bytes, pair + (2 * chunk + c % 2) * 4 * k, static_cast<std::size_t>(4 * k));
            // The last state of a chunk reaches 16 - K bits into the next; the last chunk's, round
            // to the first.
            std::memcpy(bytes + 4 * k, pair + (2 * next + c % 2) * 4 * k, 2);
            for (Index r = begin; r < end; ++r) {
                std::uint32_t window = 0;
                std::memcpy(&window, bytes + r * k / 8, sizeof(window));
                out[(r0 - row + r - begin) * stride + c - col] =
                    value_of(s, window >> (r * k % 8) & 0xFFFFu);
            }
        }
        r0 += end - begin;
    }
}

void tile_rows(const TrellisSegment& s, const ByteActivations& x, Index tile, float* y) {
    constexpr Index pairs_a_group = activation_group / 2;
    const Index pairs = trellis_pairs(s);
    for (Index g = 0; g * pairs_a_group < pairs; ++g) {
        const Index end = std::min(pairs, (g + 1) * pairs_a_group);
        for (Index r = 0; r < s.tile_rows; ++r) {
            // The mean of the byte sums is taken away once a group instead of once a weight.
            std::int32_t sum = -byte_sum_mean * x.sums[g];
            for (Index p = g * pairs_a_group; p < end; ++p)
                for (Index odd = 0; odd < 2; ++odd) {
                    const std::uint32_t state = trellis_state(s, trellis_codes(s, tile, p), odd, r);
                    const auto q = static_cast<std::int8_t>(x.pairs[p] >> (16 * odd) & 0xFFu);
                    sum += byte_sum(trellis_word(s, state)) * q;
                }
            y[r] += x.scales[g] * static_cast<float>(sum);
        }
    }
}

void rows(const Tensor& /*t*/, const Segment& s, const void* inputs, Index row, Index /*count*/,
          float* y) {
    trellis_rows(trellis_segment(s), inputs, row, y, tile_rows);
}

constexpr CodeKernels reference = {byte_inputs, rows, nullptr};

}  // namespace

void trellis_rows(const TrellisSegment& s, const void* inputs, Index row, float* y,
                  TrellisTile kernel) {
    // Sums of their own: the gain is multiplied in once a row, not once a group of columns.
    float sums[trellis_most_rows];
    std::fill_n(sums, s.tile_rows, 0.0F);
    kernel(s, activations_in(inputs, byte_room(s.cols)), row / s.tile_rows, sums);
    for (Index r = 0; r < s.tile_rows; ++r) y[r] += s.gain * sums[r];
}

const PackedCode trellis_code = {
    .kind = trellis_kind,
    .name = "trellis",
    .tile_rows = trellis_chunk,
    .read = read,
    .check_codes = nullptr,
    .values = values,
    .block = block,
    .kernels = {&reference, &trellis_kernels_avx2, &trellis_kernels_avx512vnni},
};

}  // namespace vq::decode
