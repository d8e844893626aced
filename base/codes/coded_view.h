// SPDX-License-Identifier: Apache-2.0
// CodedView: a tensor's codes as a code's pack function sees them, and what such a function is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/codes/code.h"
#include "base/codes/packed_segment.h"

namespace vq {

/// Columns that one code serves.
struct SegmentView {
    CodePtr code;
    Index cols = 0;
    std::string shared;  ///< name of the codebooks when several tensors share them
    /// code->words() each. Along inputs vector (i, g) is number i * (cols / d) + g, along outputs
    /// vector (q, j), of rows q d to q d + d - 1 in column j, is number q * cols + j.
    std::span<const std::uint64_t> codes;
};

struct CodedView {
    std::string name;  ///< of the tensor, for errors
    Index rows = 0;    ///< padded to whole vectors
    Index cols = 0;    ///< not padded: the segments may have more
    bool along_outputs = false;
    bool group_scales = false;  ///< a row has several
    std::vector<SegmentView> segments;
};

/// The segments as kernels read them; nothing when the code has no layout for them all. Throws
/// Error that names the tensor when no other code has one either.
using PackFunction = std::optional<PackedSegments> (*)(const CodedView& tensor);

/// The codes of all segments as codes of class C; empty when one is not.
template <class C>
std::vector<const C*> codes_as(const CodedView& tensor) {
    std::vector<const C*> out;
    for (const SegmentView& s : tensor.segments) {
        const auto* code = dynamic_cast<const C*>(s.code.get());
        if (code == nullptr) return {};
        out.push_back(code);
    }
    return out;
}

}  // namespace vq
