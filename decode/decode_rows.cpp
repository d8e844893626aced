#include "decode/decode_rows.h"

#include <algorithm>
#include <cstring>

#include "decode/layout.h"
#include "decode/lut.h"
#include "decode/trellis.h"

namespace vq::decode {

namespace {

/// `bits` bits of a stream from bit `at` on; may read up to 8 bytes.
std::uint64_t read_bits(const std::uint8_t* bytes, Index at, int bits) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at / 8, sizeof(word));
    return word >> (at % 8) & ((std::uint64_t{1} << bits) - 1);
}

void table_values(const Segment& s, Index row, Index first, Index count, float* out) {
    const Index band = s.along_outputs ? row / s.dim : row;
    const std::uint8_t* codes = s.codes + band * table_row_bytes(s);
    // Along outputs a code gives one value of this row, along inputs `dim` of them.
    const Index from = s.along_outputs ? row % s.dim : 0;
    const Index values = s.along_outputs ? 1 : s.dim;
    for (Index i = 0; i < count; ++i) {
        std::uint64_t code = read_bits(codes, (first + i) * s.bits, s.bits);
        for (int m = 0; m < s.stages; ++m) {
            const auto entry =
                static_cast<Index>(code & ((std::uint64_t{1} << s.stage_bits[m]) - 1));
            const float* word = s.codebook[m] + entry * s.dim + from;
            code >>= s.stage_bits[m];
            for (Index k = 0; k < values; ++k)
                out[i * values + k] = m == 0 ? word[k] : out[i * values + k] + word[k];
        }
    }
}

void lut_values(const Segment& s, Index padded_rows, Index row, Index first, Index count,
                float* out) {
    const Index tiles = padded_rows / lut_tile;
    for (Index i = 0; i < count; ++i) {
        const Index block = (first + i) / lut_block;
        const std::uint8_t* codes = s.codes + lut_offset(s, tiles, block, row / lut_tile) +
                                    (first + i) % lut_block * lut_unit(s);
        for (int m = 0; m < s.stages; ++m) {
            const float* word =
                s.codebook[m] +
                static_cast<Index>(lut_code(codes, s.stage_bits[m], row % lut_tile)) * s.dim;
            for (int k = 0; k < s.dim; ++k)
                out[i * s.dim + k] = m == 0 ? word[k] : out[i * s.dim + k] + word[k];
            codes += lut_stage_bytes(s.stage_bits[m]);
        }
    }
}

void trellis_values(const Segment& s, Index row, Index first, Index count, float* out) {
    for (Index i = 0; i < count; ++i) {
        const Index column = first + i;
        const std::uint32_t state = trellis_state(
            s, trellis_codes(s, row / s.tile_rows, column / 2), column % 2, row % s.tile_rows);
        out[i] = static_cast<float>(byte_sum(trellis_word(s, state)) - byte_sum_mean) * s.gain;
    }
}

}  // namespace

void decode_segment(const Segment& s, Index padded_rows, Index row, Index first, Index count,
                    float* out) {
    switch (s.code) {
        case CodeKind::lut: lut_values(s, padded_rows, row, first, count, out); return;
        case CodeKind::table: table_values(s, row, first, count, out); return;
        case CodeKind::trellis: trellis_values(s, row, first, count, out); return;
    }
}

void apply_scales(const Tensor& t, Index row, Index col, Index count, float* values) {
    if (t.scale_kind != ScaleKind::group) {
        const float scale = t.scale(row);
        for (Index i = 0; i < count; ++i) values[i] *= scale;
        return;
    }
    const Half* scales = t.scales + row * ceil_div(t.padded_cols, t.scale_group);
    for (Index i = 0; i < count;) {
        const Index group = (col + i) / t.scale_group;
        const Index end = std::min(count, (group + 1) * t.scale_group - col);
        const float scale = float_from_half(scales[group]);
        for (; i < end; ++i) values[i] *= scale;
    }
}

void decode_coded_row(const Tensor& t, Index row, float* out) {
    for (const Segment& s : t.segments) {
        const bool vectors = s.code != CodeKind::trellis && !s.along_outputs;
        decode_segment(s, t.padded_rows, row, 0, vectors ? s.groups() : s.cols, out + s.col0);
    }
    apply_scales(t, row, 0, t.padded_cols, out);
}

void decode_dense_row(const Tensor& t, Index row, float* out) {
    if (t.kind == TensorKind::dense_f32)
        std::memcpy(out, t.dense + row * t.cols * 4, static_cast<std::size_t>(t.cols) * 4);
    else if (t.kind == TensorKind::dense_f16)
        float_from_half(reinterpret_cast<const Half*>(t.dense) + row * t.cols, t.cols, out);
    else
        float_from_bf16(reinterpret_cast<const BFloat16*>(t.dense) + row * t.cols, t.cols, out);
}

}  // namespace vq::decode
