// SPDX-License-Identifier: Apache-2.0
#include "io/files/mxfp4.h"

#include <cmath>

namespace vq {

void mxfp4_to_float(const std::uint8_t* blocks, const std::uint8_t* scales, std::int64_t n_blocks,
                    float* out) {
    static constexpr float values[16] = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                         -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};
    for (std::int64_t b = 0; b < n_blocks; ++b) {
        const float scale = std::ldexp(1.0F, scales[b] - 127);
        for (int i = 0; i < 16; ++i) {
            const std::uint8_t byte = blocks[16 * b + i];
            out[mxfp4_block * b + 2 * i] = values[byte & 15] * scale;
            out[mxfp4_block * b + 2 * i + 1] = values[byte >> 4] * scale;
        }
    }
}

}  // namespace vq
