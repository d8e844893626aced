// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/feed_forward.h"

#include "model/feed_forward/mlp_beside_mixture.h"

namespace vq {

std::unique_ptr<FeedForward> make_feed_forward(const BlockContext& context,
                                               const LayerWeights& weights) {
    if (weights.config().mlp_beside_mixture())
        return std::make_unique<MlpBesideMixture>(context, weights);
    if (weights.config().mixture.n_experts > 0) return std::make_unique<Mixture>(context, weights);
    return std::make_unique<Mlp>(context, weights, block_mlp, weights.config().mlp.activation);
}

}  // namespace vq
