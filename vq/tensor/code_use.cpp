// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/code_use.h"

#include <cmath>

namespace vq {

namespace {

StageUse use_of(const std::vector<std::uint64_t>& codes, int shift, int bits) {
    StageUse out;
    out.bits = bits;
    out.words = Index{1} << bits;
    out.codes = static_cast<Index>(codes.size());
    std::vector<Index> counts(static_cast<std::size_t>(out.words), 0);
    for (const std::uint64_t code : codes)
        ++counts[(code >> shift) & static_cast<std::uint64_t>(out.words - 1)];
    for (const Index count : counts) {
        if (count == 0) continue;
        ++out.used;
        const double p = static_cast<double>(count) / static_cast<double>(out.codes);
        out.entropy -= p * std::log2(p);
    }
    return out;
}

}  // namespace

std::vector<StageUse> code_use(const CodedTensor& tensor) {
    std::vector<StageUse> out;
    for (const Segment& segment : tensor.segments()) {
        if (segment.code->stage_bits().empty()) continue;
        const std::vector<std::uint64_t> codes = segment.codes.unpacked();
        int shift = 0;
        for (const int bits : segment.code->stage_bits()) {
            out.push_back(use_of(codes, shift, bits));
            shift += bits;
        }
    }
    return out;
}

}  // namespace vq
