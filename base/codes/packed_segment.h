// SPDX-License-Identifier: Apache-2.0
// What a pack function makes of codes: a segment of a packed file before it is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/packed/format.h"

namespace vq {

struct PackedSegment {
    decode::SegmentRecord record{};   ///< cols, code and its parameters; the rest is filled in
    std::vector<std::uint8_t> codes;  ///< laid out, without the slack
    /// Words of each stage, size (2^stage_bits, dim); the writer of the file puts their indices into
    /// the record. None: it has no codebooks, or they are there already.
    std::vector<std::vector<float>> codebooks = {};
    std::string shared = {};  ///< their name when several tensors share them
};

/// All segments of a tensor, which share its rows.
struct PackedSegments {
    std::int64_t padded_rows = 0;  ///< whole tiles of the layout
    std::vector<PackedSegment> segments;
};

}  // namespace vq
