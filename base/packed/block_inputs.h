// SPDX-License-Identifier: Apache-2.0
// Inputs of codes whose scales serve 32 columns of a row: ByteActivations, and after them the sum of
// the q_j of each 32 columns, from which the offset of unsigned bytes of weights is taken off.
#pragma once

#include "base/packed/code_kernels.h"

namespace vq::decode {

inline constexpr Index input_block = 32;

/// CodeKernels::inputs.
void block_inputs(const Kernels& shared, const Segment& s, const float* x, Index item,
                  void* inputs);
/// Segment::input_bytes.
static inline Index block_inputs_bytes(Index cols) {
    return byte_room(cols).end + whole_lines(4 * ceil_div(cols, input_block));
}
/// The sums in them.
static inline const std::int32_t* block_sums_in(const void* inputs, Index cols) {
    return reinterpret_cast<const std::int32_t*>(static_cast<const std::uint8_t*>(inputs) +
                                                 byte_room(cols).end);
}

}  // namespace vq::decode
