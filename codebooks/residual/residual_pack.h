// SPDX-License-Identifier: Apache-2.0
// Residual codes in the layouts of their kernels: lookup tables (lut.h) where all stages of a
// tensor have 8 to 10 bits, else bit-packed indices (table.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Takes every code with codebooks. Throws Error for more stages or bits than packed files have.
std::optional<PackedSegments> pack_residual(const CodedView& tensor);

/// The record of a code with codebooks, and the words of its stages.
PackedSegment codebook_segment(decode::CodeKind kind, const SegmentView& segment);

/// Codes of vectors along inputs, vector (i, g) at i * groups + g, stages of 8-10 bits, the first
/// in the lowest bits. Rows are filled up to whole tiles with zeros.
std::vector<std::uint8_t> lut_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     const std::vector<int>& stage_bits);

/// Codes as they are, `count` a row (or band of rows), each row beginning with a whole byte.
std::vector<std::uint8_t> table_layout(std::span<const std::uint64_t> codes, Index rows,
                                       Index count, int bits);

}  // namespace vq
