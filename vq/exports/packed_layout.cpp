// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/packed_layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bits.h"
#include "base/error.h"
#include "base/half.h"
#include "codebooks/bytes/bytes.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table.h"
#include "codebooks/scalar/grid.h"
#include "lattice/e8p/e8p.h"
#include "lattice/trellis/trellis.h"

namespace vq {

std::vector<std::uint8_t> lut_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     const std::vector<int>& stage_bits) {
    using namespace decode;
    VQ_ASSERT(rows % lut_tile == 0 && static_cast<Index>(codes.size()) == rows * groups);
    decode::LutSegment s;
    s.cols = groups;  // with dim 1 the columns are the groups
    s.stages = static_cast<int>(stage_bits.size());
    std::copy(stage_bits.begin(), stage_bits.end(), s.stage_bits);
    const Index tiles = rows / lut_tile;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(rows / lut_tile * groups * lut_unit(s)));
    for (Index i = 0; i < rows; ++i)
        for (Index g = 0; g < groups; ++g) {
            std::uint64_t code = codes[static_cast<std::size_t>(i * groups + g)];
            const Index at = lut_position(i % lut_tile);
            std::uint8_t* to = out.data() + lut_offset(s, tiles, g / lut_block, i / lut_tile) +
                               g % lut_block * lut_unit(s);
            for (const int bits : stage_bits) {
                to[at] = static_cast<std::uint8_t>(code);
                for (int plane = 0; plane + lut_least_bits < bits; ++plane)
                    to[lut_tile + 8 * plane + at / 8] |= static_cast<std::uint8_t>(
                        (code >> (lut_least_bits + plane) & 1u) << (at % 8));
                code >>= bits;
                to += lut_stage_bytes(bits);
            }
        }
    return out;
}

std::vector<std::uint8_t> e8p_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     int bits) {
    using decode::e8p_tile;
    VQ_ASSERT(rows % e8p_tile == 0 && static_cast<Index>(codes.size()) == rows * groups);
    const Index planes = bits / 8;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(rows * groups * planes));
    for (Index i = 0; i < rows; ++i)
        for (Index g = 0; g < groups; ++g) {
            const std::uint64_t code = codes[static_cast<std::size_t>(i * groups + g)];
            std::uint8_t* to = out.data() + (i / e8p_tile * groups + g) * e8p_tile * planes +
                               decode::e8p_position(i % e8p_tile);
            for (Index p = 0; p < planes; ++p)
                to[p * e8p_tile] = static_cast<std::uint8_t>(code >> (8 * p));
        }
    return out;
}

std::vector<std::uint8_t> grid_layout(std::span<const std::uint64_t> codes, Index rows, Index cols,
                                      int bits) {
    using namespace decode;
    VQ_ASSERT(rows % grid_tile == 0 && static_cast<Index>(codes.size()) == rows * cols);
    const Index steps = ceil_div(cols, grid_step);
    const Index unit = bits * 4 * grid_tile;
    const int w = bits == 3 ? 2 : bits;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(rows / grid_tile * steps * unit));
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

std::vector<std::uint8_t> byte_layout(std::span<const float> values, Index rows, Index cols) {
    using namespace decode;
    VQ_ASSERT(rows % byte_tile == 0 && static_cast<Index>(values.size()) == rows * cols);
    const Index blocks = ceil_div(cols, byte_block);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(rows / byte_tile * blocks * byte_unit),
                                  static_cast<std::uint8_t>(byte_offset));
    for (Index i = 0; i < rows; ++i)
        for (Index b = 0; b < blocks; ++b) {
            const Index first = b * byte_block;
            const std::span<const float> from =
                values.subspan(static_cast<std::size_t>(i * cols + first),
                               static_cast<std::size_t>(std::min(byte_block, cols - first)));
            std::uint8_t* block = out.data() + (i / byte_tile * blocks + b) * byte_unit;
            float most = 0;
            for (const float v : from) most = std::max(most, std::fabs(v));
            const Half scale = half_from_float(most / 127.0F);
            std::memcpy(block + i % byte_tile * sizeof(Half), &scale, sizeof(Half));
            const float step = float_from_half(scale);
            for (std::size_t j = 0; j < from.size(); ++j) {
                // A scale that was rounded down, or to zero, asks for more than 127 steps.
                const float q = step > 0 ? std::nearbyint(from[j] / step) : 0;
                block[byte_position(i % byte_tile, static_cast<Index>(j))] =
                    static_cast<std::uint8_t>(
                        static_cast<std::int32_t>(std::clamp(q, -127.0F, 127.0F)) + byte_offset);
            }
        }
    return out;
}

std::vector<std::uint8_t> table_layout(std::span<const std::uint64_t> codes, Index rows,
                                       Index count, int bits) {
    VQ_ASSERT(static_cast<Index>(codes.size()) == rows * count);
    std::vector<std::uint8_t> out;
    out.reserve(static_cast<std::size_t>(rows * packed_bytes(count, bits)));
    for (Index i = 0; i < rows; ++i) {
        const std::vector<std::uint8_t> row = pack_bits(
            codes.subspan(static_cast<std::size_t>(i * count), static_cast<std::size_t>(count)),
            bits);
        out.insert(out.end(), row.begin(), row.end());
    }
    return out;
}

std::vector<std::uint8_t> trellis_layout(std::span<const std::uint8_t> streams, Index rows,
                                         Index cols, Index tile_rows, int bits) {
    VQ_ASSERT(tile_rows % decode::trellis_chunk == 0 && rows % tile_rows == 0);
    const Index column_bytes = tile_rows * bits / 8;
    const Index chunk_bytes = decode::trellis_chunk * bits / 8;
    const Index tiles = rows / tile_rows;
    const Index pairs = (cols + 1) / 2;
    VQ_ASSERT(static_cast<Index>(streams.size()) == tiles * cols * column_bytes);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(tiles * pairs * 2 * column_bytes));
    for (Index t = 0; t < tiles; ++t)
        for (Index c = 0; c < cols; ++c) {
            const std::uint8_t* from = streams.data() + (t * cols + c) * column_bytes;
            std::uint8_t* to = out.data() + (t * pairs + c / 2) * 2 * column_bytes;
            for (Index k = 0; k < column_bytes; k += chunk_bytes)
                std::copy_n(from + k, chunk_bytes, to + 2 * k + c % 2 * chunk_bytes);
        }
    return out;
}

}  // namespace vq
