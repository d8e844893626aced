// SPDX-License-Identifier: Apache-2.0
#include "codebooks/iq4nl/iq4nl_pack.h"

#include <cstring>

#include "base/bits.h"
#include "base/error.h"
#include "codebooks/iq4nl/iq4nl.h"
#include "codebooks/iq4nl/iq4nl_code.h"

namespace vq {

namespace {

/// Rows are filled up to whole tiles with scales of zero.
std::vector<std::uint8_t> layout(const SegmentView& s, Index rows, Index padded_rows) {
    using namespace decode;
    const Index blocks = s.cols / iq4nl_block;
    const Index words = s.code->words();
    std::vector<std::uint8_t> out(
        static_cast<std::size_t>(padded_rows / iq4nl_tile * blocks * iq4nl_unit));
    for (Index i = 0; i < rows; ++i)
        for (Index b = 0; b < blocks; ++b) {
            const std::uint64_t* code = s.codes.data() + (i * blocks + b) * words;
            std::uint8_t* block = out.data() + (i / iq4nl_tile * blocks + b) * iq4nl_unit;
            const Index r = i % iq4nl_tile;
            const auto scale = static_cast<Half>(read_field(code, 0, Iq4nlCode::scale_bits));
            std::memcpy(block + r * static_cast<Index>(sizeof(Half)), &scale, sizeof(Half));
            for (int j = 0; j < Iq4nlCode::block; ++j) {
                const int at = Iq4nlCode::scale_bits + j * Iq4nlCode::index_bits;
                const auto index =
                    static_cast<std::uint32_t>(read_field(code, at, Iq4nlCode::index_bits));
                std::uint8_t& byte = block[iq4nl_byte(r, j)];
                byte = static_cast<std::uint8_t>(byte | index << iq4nl_shift(j));
            }
        }
    return out;
}

}  // namespace

std::optional<PackedSegments> pack_iq4nl(const CodedView& tensor) {
    if (codes_as<Iq4nlCode>(tensor).empty()) return std::nullopt;
    if (tensor.group_scales)
        throw Error("IQ4_NL with further scales for groups of columns", tensor.name,
                    "packed files have those of the code alone: use scale.scope=tensor");
    PackedSegments out;
    out.padded_rows = decode::ceil_div(tensor.rows, decode::iq4nl_tile) * decode::iq4nl_tile;
    for (const SegmentView& s : tensor.segments) {
        PackedSegment& packed = out.segments.emplace_back();
        packed.record.cols = static_cast<std::uint64_t>(s.cols);
        packed.record.code = decode::iq4nl_kind;
        packed.record.dim = Iq4nlCode::block;
        packed.codes = layout(s, tensor.rows, out.padded_rows);
    }
    return out;
}

}  // namespace vq
