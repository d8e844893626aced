// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bytes/byte_pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "codebooks/bytes/bytes.h"

namespace vq {

std::vector<std::uint8_t> byte_layout(std::span<const float> values, Index rows, Index cols) {
    using namespace decode;
    VQ_ASSERT(static_cast<Index>(values.size()) == rows * cols);
    const Index blocks = ceil_div(cols, byte_block);
    const Index tiles = ceil_div(rows, byte_tile);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(tiles * blocks * byte_unit),
                                  static_cast<std::uint8_t>(byte_offset));
    for (Index i = 0; i < tiles * byte_tile; ++i)
        for (Index b = 0; b < blocks; ++b) {
            std::uint8_t* block = out.data() + (i / byte_tile * blocks + b) * byte_unit;
            const Index first = b * byte_block;
            std::span<const float> from;
            if (i < rows)
                from = values.subspan(static_cast<std::size_t>(i * cols + first),
                                      static_cast<std::size_t>(std::min(byte_block, cols - first)));
            float most = 0;
            for (const float v : from) most = std::max(most, std::fabs(v));
            const Half scale = half_from_float(most / 127.0F);
            std::memcpy(block + i % byte_tile * sizeof(Half), &scale, sizeof(Half));
            const float step = float_from_half(scale);
            for (std::size_t j = 0; j < from.size(); ++j) {
                // A scale that was rounded down, or to zero, asks for more than 127 steps.
                const float q = step > 0 ? std::nearbyint(from[j] / step) : 0;
                block[byte_position(i % byte_tile, static_cast<Index>(j))] =
                    static_cast<std::uint8_t>(
                        static_cast<std::int32_t>(std::clamp(q, -127.0F, 127.0F)) + byte_offset);
            }
        }
    return out;
}

}  // namespace vq
