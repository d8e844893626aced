// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/residual_pack.h"

#include <algorithm>

#include "base/bits.h"
#include "base/error.h"
#include "codebooks/residual/lut.h"
#include "codebooks/residual/table.h"

namespace vq {

namespace {

using decode::CodeKind;

/// table_entry() reads 8 bytes from the byte in which a code begins.
constexpr int most_table_bits = 57;

bool suits_lut(const CodedView& tensor) {
    // The kernel sums integers over all columns of a row: one scale a row at most.
    if (tensor.along_outputs || tensor.group_scales) return false;
    return std::all_of(tensor.segments.begin(), tensor.segments.end(), [](const SegmentView& s) {
        const auto looked_up = [](int bits) {
            return bits >= decode::lut_least_bits && bits <= decode::lut_most_bits;
        };
        const std::vector<int>& bits = s.code->stage_bits();
        return s.code->dim() % 2 == 0 && s.code->dim() <= decode::lut_most_dim &&
               std::all_of(bits.begin(), bits.end(), looked_up);
    });
}

void check_stages(const SegmentView& s, bool lut, const std::string& name) {
    if (s.code->stage_bits().size() > static_cast<std::size_t>(decode::most_stages))
        throw Error("a code of more than 8 stages", name, "use fewer stages");
    if (!lut && s.code->bits() > most_table_bits)
        throw Error("a code of " + std::to_string(s.code->bits()) + " bits", name,
                    "packed files take up to 57 where there is no lookup kernel");
}

}  // namespace

PackedSegment codebook_segment(CodeKind kind, const SegmentView& segment) {
    PackedSegment out;
    const std::vector<int>& bits = segment.code->stage_bits();
    const Index dim = segment.code->dim();
    out.shared = segment.shared;
    out.record.cols = static_cast<std::uint64_t>(segment.cols);
    out.record.code = kind;
    out.record.dim = static_cast<std::uint32_t>(dim);
    out.record.stages = static_cast<std::uint32_t>(bits.size());
    const std::vector<float> words = segment.code->parameters();
    auto at = words.begin();
    for (std::size_t m = 0; m < bits.size(); ++m) {
        out.record.stage_bits[m] = static_cast<std::uint32_t>(bits[m]);
        const auto end = at + (Index{1} << bits[m]) * dim;
        out.codebooks.emplace_back(at, end);
        at = end;
    }
    return out;
}

std::optional<PackedSegments> pack_residual(const CodedView& tensor) {
    for (const SegmentView& s : tensor.segments)
        if (s.code->stage_bits().empty()) return std::nullopt;
    const bool lut = suits_lut(tensor);
    PackedSegments out;
    out.padded_rows =
        lut ? decode::ceil_div(tensor.rows, decode::lut_tile) * decode::lut_tile : tensor.rows;
    for (const SegmentView& s : tensor.segments) {
        check_stages(s, lut, tensor.name);
        const Index dim = s.code->dim();
        PackedSegment& packed = out.segments.emplace_back(
            codebook_segment(lut ? decode::lut_kind : decode::table_kind, s));
        packed.record.along_outputs = tensor.along_outputs ? 1 : 0;
        if (lut)
            packed.codes = lut_layout(s.codes, tensor.rows, s.cols / dim, s.code->stage_bits());
        else if (tensor.along_outputs)
            packed.codes = table_layout(s.codes, tensor.rows / dim, s.cols, s.code->bits());
        else
            packed.codes = table_layout(s.codes, tensor.rows, s.cols / dim, s.code->bits());
    }
    return out;
}

std::vector<std::uint8_t> lut_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     const std::vector<int>& stage_bits) {
    using namespace decode;
    VQ_ASSERT(static_cast<Index>(codes.size()) == rows * groups);
    decode::LutSegment s;
    s.cols = groups;  // with dim 1 the columns are the groups
    s.stages = static_cast<int>(stage_bits.size());
    std::copy(stage_bits.begin(), stage_bits.end(), s.stage_bits);
    const Index tiles = ceil_div(rows, lut_tile);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(tiles * groups * lut_unit(s)));
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

}  // namespace vq
