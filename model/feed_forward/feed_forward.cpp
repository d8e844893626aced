// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/feed_forward.h"

#include "model/feed_forward/mixture.h"

namespace vq {

std::unique_ptr<FeedForward> make_feed_forward(const BlockContext& context,
                                               const LayerWeights& weights) {
    if (weights.config().mixture.n_experts > 0) return std::make_unique<Mixture>(context, weights);
    return std::make_unique<Mlp>(context, weights, block_mlp, weights.config().mlp.activation);
}

}  // namespace vq
