// What a pack function makes of codes: a segment of a packed file before it is written.
#pragma once

#include <cstdint>
#include <vector>

#include "base/packed/format.h"

namespace vq {

struct PackedSegment {
    decode::SegmentRecord record{};   ///< cols, code and its parameters; the rest is filled in
    std::vector<std::uint8_t> codes;  ///< laid out, without the slack
    /// Of each stage that has words, size (2^stage_bits, dim). Whoever writes the file puts their
    /// indices there into the record.
    std::vector<std::vector<float>> codebooks = {};
};

/// All segments of a tensor, which share its rows.
struct PackedSegments {
    std::int64_t padded_rows = 0;  ///< whole tiles of the layout
    std::vector<PackedSegment> segments;
};

}  // namespace vq
