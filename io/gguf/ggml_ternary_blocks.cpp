// SPDX-License-Identifier: Apache-2.0
// Blocks of 256 weights that are -d, 0 or d.
#include "io/gguf/ggml_blocks.h"

namespace vq::ggml {
namespace {

/// `bytes` bytes to `digits` weights each: first the highest base-3 digit of every byte, then the
/// next one of all of them. A byte is the fraction q / 256, so a digit is its whole part times 3.
float* ternary(const Byte* packed, int bytes, int digits, float d, float* out) {
    std::uint32_t power = 1;
    for (int digit = 0; digit < digits; ++digit, power *= 3)
        for (int j = 0; j < bytes; ++j) {
            const std::uint32_t fraction = packed[j] * power & 255u;
            *out++ = d * (static_cast<float>(fraction * 3 >> 8) - 1);
        }
    return out;
}

}  // namespace

/// 48 bytes with five digits each (32 bytes, then 16), four with four.
void tq1_0_block(const Byte* block, float* out) {
    const float d = load_half(block + 52);
    out = ternary(block, 32, 5, d, out);
    out = ternary(block + 32, 16, 5, d, out);
    ternary(block + 48, 4, 4, d, out);
}

/// Two halves of 128 weights: 32 bytes, whose lowest two bits are the first 32 weights.
void tq2_0_block(const Byte* block, float* out) {
    const float d = load_half(block + 64);
    for (int part = 0; part < 8; ++part) {
        const Byte* pairs = block + 32 * (part / 4);
        for (int j = 0; j < 32; ++j)
            out[32 * part + j] = d * static_cast<float>((pairs[j] >> (2 * (part % 4)) & 3) - 1);
    }
}

}  // namespace vq::ggml
