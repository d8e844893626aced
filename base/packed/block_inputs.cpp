// SPDX-License-Identifier: Apache-2.0
#include "base/packed/block_inputs.h"

namespace vq::decode {

void block_inputs(const Kernels& shared, const Segment& s, const float* x, Index /*item*/,
                  void* inputs) {
    const ByteRoom room = byte_room(s.cols);
    const ByteBuffers to = buffers_in(inputs, room);
    shared.quantize(x, s.cols, to);
    auto* block_sums =
        reinterpret_cast<std::int32_t*>(static_cast<std::uint8_t*>(inputs) + room.end);
    // The bytes are padded with zeros to whole blocks.
    for (Index b = 0; b < ceil_div(s.cols, input_block); ++b) {
        std::int32_t sum = 0;
        for (Index j = 0; j < input_block; ++j) sum += to.bytes[b * input_block + j];
        block_sums[b] = sum;
    }
}

}  // namespace vq::decode
