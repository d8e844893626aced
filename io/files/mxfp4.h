// SPDX-License-Identifier: Apache-2.0
// MXFP4 (OCP Microscaling 1.0) as safetensors files of gpt-oss hold it: blocks of 32 values of 4
// bits, sign, two bits of exponent and one of mantissa, with a power of two a block.
#pragma once

#include <cstdint>

namespace vq {

constexpr std::int64_t mxfp4_block = 32;

/// Decodes `n_blocks` blocks of 16 bytes each, the lower half of a byte first; `scales` are one
/// byte a block, biased by 127. Writes 32 values a block.
void mxfp4_to_float(const std::uint8_t* blocks, const std::uint8_t* scales, std::int64_t n_blocks,
                    float* out);

}  // namespace vq
