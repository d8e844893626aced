#include "decode/decode_rows.h"

#include <algorithm>
#include <cstring>

#include "codebooks/residual/lut.h"
#include "decode/code_bytes.h"
#include "lattice/e8p/e8p.h"
#include "lattice/trellis/trellis.h"

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
        out[i] = static_cast<float>(byte_sum(trellis_word(s, state)) - byte_sum_mean) * s.gain[0];
    }
}

void e8p_values(const Segment& s, Index row, Index first, Index count, float* out) {
    const E8pTables& tables = e8p_tables();
    for (Index i = 0; i < count; ++i) {
        const std::uint8_t* codes = e8p_codes(s, row / e8p_tile, first + i);
        for (int m = 0; m < s.stages; ++m) {
            const int kind = e8p_kind(s, m);
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

void grid_values(const Segment& s, Index row, Index first, Index count, float* out) {
    for (Index i = 0; i < count; ++i) {
        const Index column = first + i;
        out[i] = s.codebook[0][grid_code(grid_codes(s, row / grid_tile, column / grid_step), s.bits,
                                         row % grid_tile, column % grid_step)];
    }
}

void byte_values(const Segment& s, Index row, Index first, Index count, float* out) {
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

/// Column by column, so that a stream's bytes are gathered once for the rows of a chunk.
void trellis_block(const Segment& s, Index row, Index rows, Index col, Index count, float* out,
                   Index stride) {
    const Index k = s.trellis_bits;
    const Index chunks = s.tile_rows / trellis_chunk;
    for (Index r0 = row; r0 < row + rows;) {
        const Index in_tile = r0 % s.tile_rows;
        const Index chunk = in_tile / trellis_chunk;
        const Index begin = in_tile % trellis_chunk;
        const Index end = std::min(trellis_chunk, begin + row + rows - r0);
        const Index next = (chunk + 1) % chunks;
        for (Index c = col; c < col + count; ++c) {
            const std::uint8_t* pair = trellis_codes(s, r0 / s.tile_rows, c / 2);
            std::uint8_t bytes[4 * 4 + 4] = {};  // the chunk and what follows it
            std::memcpy(bytes, pair + (2 * chunk + c % 2) * 4 * k, static_cast<std::size_t>(4 * k));
            std::memcpy(bytes + 4 * k, pair + (2 * next + c % 2) * 4 * k, 2);
            for (Index r = begin; r < end; ++r) {
                std::uint32_t window = 0;
                std::memcpy(&window, bytes + r * k / 8, sizeof(window));
                const std::uint32_t state = window >> (r * k % 8) & 0xFFFFu;
                out[(r0 - row + r - begin) * stride + c - col] =
                    static_cast<float>(byte_sum(trellis_word(s, state)) - byte_sum_mean) *
                    s.gain[0];
            }
        }
        r0 += end - begin;
    }
}

}  // namespace

void decode_segment(const Segment& s, Index padded_rows, Index row, Index first, Index count,
                    float* out) {
    switch (s.code) {
        case CodeKind::lut: lut_values(s, padded_rows, row, first, count, out); return;
        case CodeKind::table: table_values(s, row, first, count, out); return;
        case CodeKind::trellis: trellis_values(s, row, first, count, out); return;
        case CodeKind::e8p: e8p_values(s, row, first, count, out); return;
        case CodeKind::grid: grid_values(s, row, first, count, out); return;
        case CodeKind::bytes: byte_values(s, row, first, count, out); return;
    }
}

void decode_block(const Segment& s, Index padded_rows, Index row, Index rows, Index col,
                  Index count, float* out, Index stride) {
    if (s.code == CodeKind::trellis) {
        trellis_block(s, row, rows, col, count, out, stride);
        return;
    }
    const Index width = s.along_outputs ? 1 : s.dim;
    // Vectors that the range cuts in two are decoded apart.
    const Index head = std::min(count, (width - col % width) % width);
    const Index whole = (count - head) / width;
    const Index tail = count - head - whole * width;
    for (Index r = row; r < row + rows; ++r, out += stride) {
        float vector[most_dim];
        if (head > 0) {
            decode_segment(s, padded_rows, r, col / width, 1, vector);
            std::copy_n(vector + col % width, head, out);
        }
        decode_segment(s, padded_rows, r, (col + head) / width, whole, out + head);
        if (tail > 0) {
            decode_segment(s, padded_rows, r, (col + head) / width + whole, 1, vector);
            std::copy_n(vector, tail, out + head + whole * width);
        }
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
