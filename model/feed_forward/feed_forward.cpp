// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/feed_forward.h"

#include "model/feed_forward/mlp.h"

namespace vq {

std::unique_ptr<FeedForward> make_feed_forward(const BlockContext& context,
                                               const LayerWeights& weights) {
    return std::make_unique<Mlp>(context, weights, block_mlp, weights.config().mlp.activation);
}

}  // namespace vq
