// SPDX-License-Identifier: Apache-2.0
// E8P codes in the layout of their kernels (e8p.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Throws Error when vectors lie along outputs.
std::optional<PackedSegments> pack_e8p(const CodedView& tensor);

/// E8P codes, vector (i, g) at i * groups + g, stages of 16 or 16 + 8 or 16 + 16 bits, the first in
/// the lowest bits. Rows are filled up to whole tiles with zeros.
std::vector<std::uint8_t> e8p_layout(std::span<const std::uint64_t> codes, Index rows, Index groups,
                                     int bits);

}  // namespace vq
