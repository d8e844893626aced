// SPDX-License-Identifier: Apache-2.0
#include "model/ops/token_tiles.h"

namespace vq {

void add_product(const Linear& w, const float* x, Index tokens, float factor, float* stream,
                 ScratchPool& scratch) {
    for_token_tiles(tokens, [&](Index first, Index count) {
        const auto rounded = scratch.bytes(w.operand_bytes(count));
        const void* operand = w.operand(x + first * w.in(), count, rounded.data());
        parallel_for_work(w.blocks(), count * w.in() * w.out(), [&](Index b) {
            const Index begin = w.block_begin(b);
            const Index n = w.block_end(b) - begin;
            const auto y = scratch.floats(count * n);
            w.apply_block(operand, count, b, y.floats(), scratch);
            for (Index t = 0; t < count; ++t)
                Eigen::Map<Vector>(stream + (first + t) * w.out() + begin, n) +=
                    factor * Eigen::Map<const Vector>(y.floats() + t * n, n);
        });
    });
}

}  // namespace vq
