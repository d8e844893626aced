// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p_pack.h"

#include "base/error.h"
#include "lattice/e8p/e8p.h"
#include "lattice/e8p/e8p_code.h"

namespace vq {

std::optional<PackedSegments> pack_e8p(const CodedView& tensor) {
    const std::vector<const E8pCode*> codes = codes_as<E8pCode>(tensor);
    if (codes.empty()) return std::nullopt;
    if (tensor.along_outputs)
        throw Error("E8P vectors along outputs", tensor.name,
                    "packed files have them along inputs: use code.along=inputs");
    PackedSegments out;
    out.padded_rows = decode::ceil_div(tensor.rows, decode::e8p_tile) * decode::e8p_tile;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const E8pCode& code = *codes[i];
        const SegmentView& s = tensor.segments[i];
        PackedSegment& packed = out.segments.emplace_back();
        packed.record.cols = static_cast<std::uint64_t>(s.cols);
        packed.record.code = decode::e8p_kind;
        packed.record.dim = static_cast<std::uint32_t>(code.dim());
        packed.record.stages = static_cast<std::uint32_t>(code.gains().size());
        for (std::size_t m = 0; m < code.gains().size(); ++m) {
            packed.record.stage_bits[m] = static_cast<std::uint32_t>(code.stages()[m]);
            packed.record.gain[m] = code.gains()[m];
        }
        packed.codes = e8p_layout(s.codes, tensor.rows, s.cols / code.dim(), code.bits());
    }
    return out;
}

std::vector<std::uint8_t> e8p_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     int bits) {
    using decode::e8p_tile;
    VQ_ASSERT(static_cast<Index>(codes.size()) == rows * groups);
    const Index planes = bits / 8;
    std::vector<std::uint8_t> out(
        static_cast<std::size_t>(decode::ceil_div(rows, e8p_tile) * e8p_tile * groups * planes));
    for (Index i = 0; i < rows; ++i)
        for (Index g = 0; g < groups; ++g) {
            const std::uint64_t code = codes[static_cast<std::size_t>(i * groups + g)];
            std::uint8_t* to = out.data() + (i / e8p_tile * groups + g) * e8p_tile * planes +
                               decode::e8p_position(i % e8p_tile);
            // The bytes of a code lie apart, each among those of the other rows: a register of low
            // bytes looks patterns up, one of high bytes signs.
            for (Index p = 0; p < planes; ++p)
                to[p * e8p_tile] = static_cast<std::uint8_t>(code >> (8 * p));
        }
    return out;
}

}  // namespace vq
