// SPDX-License-Identifier: Apache-2.0
// Matrices as int8 with a scale for 32 columns in the layout of their kernel (bytes.h).
#pragma once

#include "base/codes/coded_view.h"

namespace vq {

/// Throws Error when groups lie along outputs, or have scales beside their own.
std::optional<PackedSegments> pack_bytes(const CodedView& tensor);

/// Codes of ByteCode, group (i, b) is number i * groups + b, of which `cols` columns are taken
/// (the rest fills up the last group with zeros). Rows are filled up to whole tiles with zeros.
std::vector<std::uint8_t> byte_layout(std::span<const std::uint64_t> codes, Index rows, Index cols,
                                      Index groups);

}  // namespace vq
