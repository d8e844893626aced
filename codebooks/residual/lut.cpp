// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/lut.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/packed/packed_code.h"

namespace vq::decode {

namespace {

// 14 bits with a sign. With inputs of 13 a dot product of 16 dimensions stays below 2^29.
constexpr float word_most = 8191;
// Tiles of an item share the tables of a block while these are in the cache; a small tensor has
// shorter items, so that there is one for every thread.
constexpr Index most_tiles = 8;  // an item
constexpr Index least_items = 16;

LutCodebooks round_codebooks(const LutSegment& s) {
    LutCodebooks made;
    float most = 0;
    for (int m = 0; m < s.stages; ++m)
        for (Index i = 0; i < (Index{1} << s.stage_bits[m]) * s.dim; ++i)
            most = std::max(most, std::fabs(s.codebook[m][i]));
    made.scale = most / word_most;
    const float inverse = most > 0 ? word_most / most : 0;
    for (int m = 0; m < s.stages; ++m)
        for (Index e0 = 0; e0 < (Index{1} << s.stage_bits[m]); e0 += 16)
            // Pairs of dimensions lie together: one instruction multiplies and adds pairs of 16-bit
            // numbers.
            for (int j = 0; j < s.dim; j += 2)
                for (Index e = e0; e < e0 + 16; ++e)
                    for (int k = j; k < j + 2; ++k)
                        made.words.push_back(static_cast<std::int16_t>(
                            std::lrintf(s.codebook[m][e * s.dim + k] * inverse)));
    return made;
}

std::shared_ptr<Segment> read(const SegmentRecord& r, const SegmentPlace& place) {
    const auto s = make_segment<LutSegment>(place);
    read_stages(r, place, *s);
    for (int m = 0; m < s->stages; ++m)
        if (s->stage_bits[m] < lut_least_bits || s->stage_bits[m] > lut_most_bits)
            fail_damaged("a stage does not suit lookup tables", place.where);
    if (r.along_outputs != 0 || s->dim % 2 != 0 || s->dim > lut_most_dim || s->cols % s->dim != 0 ||
        place.tensor.scale_kind == ScaleKind::group)
        fail_damaged("the tensor does not suit lookup tables", place.where);
    s->lut = place.books.made<LutCodebooks>({r.codebook, r.codebook + r.stages},
                                            [&] { return round_codebooks(*s); });
    s->width = s->dim;
    s->direct = true;
    s->input_items = lut_blocks(*s);
    s->input_bytes = lut_scales_at(*s) + whole_lines(4 * lut_blocks(*s));
    s->rows_an_item = lut_tile * std::clamp<Index>(s->rows / lut_tile / least_items, 1, most_tiles);
    s->code_bytes = product_or_none(s->rows / lut_tile, s->groups(), lut_unit(*s));
    return s;
}

void values(const Segment& any, Index row, Index first, Index count, float* out) {
    const LutSegment& s = lut_segment(any);
    const Index tiles = s.rows / lut_tile;
    if (s.dim == 8 && s.bits == 8 * s.stages) {  // the common case, with sizes that are constants
        for (Index i = 0; i < count; ++i) {
            const Index block = (first + i) / lut_block;
            const std::uint8_t* codes = s.codes + lut_offset(s, tiles, block, row / lut_tile) +
                                        (first + i) % lut_block * lut_tile * s.stages +
                                        lut_position(row % lut_tile);
            float sum[8] = {};
            for (int m = 0; m < s.stages; ++m)
                for (int k = 0; k < 8; ++k) sum[k] += s.codebook[m][codes[m * lut_tile] * 8 + k];
            std::copy_n(sum, 8, out + i * 8);
        }
        return;
    }
    for (Index i = 0; i < count; ++i) {
        const Index block = (first + i) / lut_block;
        const std::uint8_t* codes = s.codes + lut_offset(s, tiles, block, row / lut_tile) +
                                    (first + i) % lut_block * lut_unit(s);
        for (int m = 0; m < s.stages; ++m) {
            const float* word =
                s.codebook[m] +
                static_cast<Index>(lut_field(codes, s.stage_bits[m], row % lut_tile)) * s.dim;
            for (int k = 0; k < s.dim; ++k)
                out[i * s.dim + k] = m == 0 ? word[k] : out[i * s.dim + k] + word[k];
            codes += lut_stage_bytes(s.stage_bits[m]);
        }
    }
}

void inputs(const Kernels& /*shared*/, const Segment& any, const float* x, Index block, void* to) {
    const LutSegment& s = lut_segment(any);
    const LutBuffers tables = lut_buffers_in(to, s);
    LutInputs in;
    quantize_lut_inputs(s, x, block, in);
    // Twice over the same products instead of keeping them: the step is known when the largest is.
    std::int32_t most = 0;
    for_lut_words(s, in, [&](std::int32_t t, Index) { most = std::max(most, std::abs(t)); });
    const float inverse = lut_inverse(most);
    std::uint8_t* out = tables.bytes + block * lut_block * lut_table_bytes(s);
    for_lut_words(s, in, [&](std::int32_t t, Index i) {
        out[i] = static_cast<std::uint8_t>(std::lrintf(static_cast<float>(t) * inverse) + 128);
    });
    tables.scales[block] = lut_scale(s, in, most);
}

void rows(const Tensor& /*t*/, const Segment& any, const void* inputs, Index row, Index count,
          float* y) {
    const LutSegment& s = lut_segment(any);
    const LutTables tables = lut_tables_in(inputs, s);
    const Index tiles = s.rows / lut_tile;
    for (Index b = 0; b < lut_blocks(s); ++b) {
        const Index groups = lut_groups(s, b);
        // Every entry is 128 too large, to be a byte without a sign.
        const Index bias = 128 * groups * s.stages;
        for (Index r0 = 0; r0 < count; r0 += lut_tile) {
            std::int32_t sum[lut_tile] = {};
            const std::uint8_t* codes = s.codes + lut_offset(s, tiles, b, (row + r0) / lut_tile);
            const std::uint8_t* table = tables.bytes + b * lut_block * lut_table_bytes(s);
            for (Index g = 0; g < groups; ++g)
                for (int m = 0; m < s.stages; ++m) {
                    for (Index r = 0; r < lut_tile; ++r)
                        sum[r] += table[lut_field(codes, s.stage_bits[m], r)];
                    codes += lut_stage_bytes(s.stage_bits[m]);
                    table += Index{1} << s.stage_bits[m];
                }
            for (Index r = 0; r < lut_tile; ++r)
                y[r0 + r] += tables.scales[b] * static_cast<float>(sum[r] - bias);
        }
    }
}

constexpr CodeKernels reference = {inputs, rows, nullptr};

}  // namespace

const PackedCode lut_code = {
    .kind = lut_kind,
    .name = "lut",
    .tile_rows = lut_tile,
    .read = read,
    .check_codes = nullptr,
    .values = values,
    .block = nullptr,
    .kernels = {&reference, &lut_kernels_avx2, &lut_kernels_avx512vnni},
};

}  // namespace vq::decode
