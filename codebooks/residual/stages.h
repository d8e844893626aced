// SPDX-License-Identifier: Apache-2.0
// Segments of codes with stages: a vector is the sum of one codeword of each, and its code their
// indices, the first stage's in the lowest bits.
#pragma once

#include "base/packed/format.h"
#include "base/packed/segment.h"

namespace vq::decode {

struct SegmentPlace;

struct StagedSegment : Segment {
    int dim = 1;  ///< of a vector
    int stages = 0;
    int stage_bits[most_stages] = {};
    int bits = 0;                             ///< of a code
    const float* codebook[most_stages] = {};  ///< [2^stage_bits][dim]

    /// Vectors of a row, where they lie along inputs.
    Index groups() const { return cols / dim; }
};

/// Reads and checks all of it but whether vectors fill the tensor. Throws Error.
void read_stages(const SegmentRecord& r, const SegmentPlace& place, StagedSegment& s);

}  // namespace vq::decode
