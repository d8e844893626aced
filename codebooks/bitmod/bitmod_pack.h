// SPDX-License-Identifier: Apache-2.0
// BitMoD groups as plain scalar grids: no kernel knows groups with a value of their own, one for
// grids there is. The values of all groups together, 7 + 4 at 3 bits and 15 + 4 at 4, do with one
// bit a weight more.
#pragma once

#include "base/codes/coded_view.h"
#include "codebooks/bitmod/bitmod_code.h"
#include "codebooks/residual/residual_code.h"

namespace vq {

std::optional<PackedSegments> pack_bitmod(const CodedView& tensor);

/// The same weights, bit for bit, each a code of its own.
struct BitmodGrid {
    std::shared_ptr<const ResidualCode> code;  ///< one stage, d = 1
    std::vector<std::uint64_t> codes;          ///< of the weights of all groups in turn
};
BitmodGrid bitmod_as_grid(const BitmodCode& code, std::span<const std::uint64_t> codes);

}  // namespace vq
