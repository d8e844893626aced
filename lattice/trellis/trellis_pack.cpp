// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/trellis_pack.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "lattice/trellis/trellis.h"
#include "lattice/trellis/trellis_code.h"

namespace vq {

namespace {

/// Codes of whole bytes, one after the other; in memory each begins with a word.
std::vector<std::uint8_t> streams_of(const SegmentView& s) {
    const auto bytes = static_cast<std::size_t>(s.code->bits() / 8);
    const auto words = static_cast<std::size_t>(s.code->words());
    const std::size_t count = s.codes.size() / words;
    std::vector<std::uint8_t> out(count * bytes);
    for (std::size_t i = 0; i < count; ++i)
        std::memcpy(out.data() + i * bytes, s.codes.data() + i * words, bytes);
    return out;
}

}  // namespace

std::optional<PackedSegments> pack_trellis(const CodedView& tensor) {
    const std::vector<const TrellisCode*> codes = codes_as<TrellisCode>(tensor);
    if (codes.empty()) return std::nullopt;
    PackedSegments out;
    out.padded_rows = tensor.rows;  // whole tiles already
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const TrellisCode& code = *codes[i];
        const SegmentView& s = tensor.segments[i];
        const Index tile_rows = code.dim();
        if (!tensor.along_outputs)
            throw Error("trellis codes along inputs", tensor.name,
                        "packed files have them along outputs: use code.along=outputs");
        if (tile_rows % decode::trellis_chunk != 0)
            throw Error("a trellis of " + std::to_string(tile_rows) + " rows a tile", tensor.name,
                        "the kernels work on multiples of 32: quantize again with such tiles");
        PackedSegment& packed = out.segments.emplace_back();
        packed.record.cols = static_cast<std::uint64_t>(s.cols);
        packed.record.code = decode::trellis_kind;
        packed.record.trellis_value = decode::TrellisValue::byte_sum;
        packed.record.trellis_bits = static_cast<std::uint32_t>(code.bits_per_weight());
        packed.record.tile_rows = static_cast<std::uint32_t>(tile_rows);
        packed.record.multiplier[0] = code.multiplier();
        packed.record.gain[0] = trellis_gain(code.bits_per_weight());
        packed.codes =
            trellis_layout(streams_of(s), tensor.rows, s.cols, tile_rows, code.bits_per_weight());
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
            // Two columns in turn, chunk by chunk: a kernel multiplies pairs of inputs at once,
            // whose streams lie side by side.
            for (Index k = 0; k < column_bytes; k += chunk_bytes)
                std::copy_n(from + k, chunk_bytes, to + 2 * k + c % 2 * chunk_bytes);
        }
    return out;
}

}  // namespace vq
