// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bytes/byte_pack.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "codebooks/bytes/byte_code.h"
#include "codebooks/bytes/bytes.h"

namespace vq {

std::optional<PackedSegments> pack_bytes(const CodedView& tensor) {
    if (codes_as<ByteCode>(tensor).empty()) return std::nullopt;
    if (tensor.along_outputs || tensor.group_scales)
        throw Error(
            "bytes along outputs, or with scales of their groups", tensor.name,
            "packed files have them along inputs: use code.along=inputs, scale.scope=tensor");
    PackedSegments out;
    out.padded_rows = decode::ceil_div(tensor.rows, decode::byte_tile) * decode::byte_tile;
    Index col0 = 0;
    for (const SegmentView& s : tensor.segments) {
        // Columns that only fill up the last group are none of the file's.
        const Index cols = std::clamp<Index>(tensor.cols - col0, 0, s.cols);
        col0 += s.cols;
        if (cols == 0) continue;
        PackedSegment& packed = out.segments.emplace_back();
        packed.record.cols = static_cast<std::uint64_t>(cols);
        packed.record.code = decode::bytes_kind;
        packed.record.dim = 1;  // values are read one by one; their groups are the layout's
        packed.codes = byte_layout(s.codes, tensor.rows, cols, s.cols / ByteCode::block);
    }
    return out;
}

std::vector<std::uint8_t> byte_layout(std::span<const std::uint64_t> codes, Index rows, Index cols,
                                      Index groups) {
    using namespace decode;
    static_assert(ByteCode::block == byte_block);
    const auto words = static_cast<std::size_t>(ByteCode().words());
    VQ_ASSERT(codes.size() == static_cast<std::size_t>(rows * groups) * words);
    const Index blocks = ceil_div(cols, byte_block);
    VQ_ASSERT(blocks <= groups);
    const Index tiles = ceil_div(rows, byte_tile);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(tiles * blocks * byte_unit),
                                  static_cast<std::uint8_t>(byte_offset));
    for (Index i = 0; i < tiles * byte_tile; ++i)
        for (Index b = 0; b < blocks; ++b) {
            std::uint8_t* block = out.data() + (i / byte_tile * blocks + b) * byte_unit;
            // Rows that fill a tile up: zeros with a scale of zero.
            Half scale = 0;
            if (i < rows) {
                const std::uint64_t* code =
                    codes.data() + static_cast<std::size_t>(i * groups + b) * words;
                scale = ByteCode::scale_of(code);
                for (Index j = 0; j < byte_block; ++j)
                    block[byte_position(i % byte_tile, j)] = static_cast<std::uint8_t>(
                        ByteCode::value_of(code, static_cast<int>(j)) + byte_offset);
            }
            std::memcpy(block + i % byte_tile * Index{sizeof(Half)}, &scale, sizeof(Half));
        }
    return out;
}

}  // namespace vq
