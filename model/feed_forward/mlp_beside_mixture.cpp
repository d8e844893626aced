// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/mlp_beside_mixture.h"

#include <algorithm>

#include "base/error.h"
#include "model/ops/token_tiles.h"

namespace vq {

BesideNorms::BesideNorms(const LayerWeights& weights)
    : mlp_before(weights.norm(TensorRole::mlp_norm)),
      mlp_after(weights.norm(TensorRole::mlp_own_post_norm)),
      experts_before(weights.norm(TensorRole::expert_norm)),
      experts_after(weights.norm(TensorRole::expert_post_norm)) {
    VQ_ASSERT(!mlp_before.empty() && !experts_before.empty());
}

MlpBesideMixture::MlpBesideMixture(const BlockContext& context, const LayerWeights& weights)
    : kernel_(*context.kernel),
      hidden_(context.config.hidden_size),
      norms_(weights),
      mlp_(context, weights, block_mlp, weights.config().mlp.activation),
      mixture_(context, weights) {}

void MlpBesideMixture::add(const float* x, Index tokens, float factor, float* stream,
                           ScratchPool& scratch) const {
    const Index size = tokens * hidden_;
    const auto normed = scratch.floats(size);
    const auto given = scratch.floats(size);
    const auto half = [&](const Norm& before, const Norm& after, auto&& run) {
        for_token_tiles(tokens, [&](Index first, Index count) {
            before.apply(x + first * hidden_, count, normed.floats() + first * hidden_, kernel_);
        });
        std::fill_n(given.floats(), size, 0.0F);
        run();
        after.apply(given.floats(), tokens, given.floats(), kernel_);
        Eigen::Map<Vector>(stream, size) += factor * Eigen::Map<const Vector>(given.floats(), size);
    };
    half(norms_.mlp_before, norms_.mlp_after,
         [&] { mlp_.add(normed.floats(), tokens, 1.0F, given.floats(), scratch); });
    half(norms_.experts_before, norms_.experts_after,
         [&] { mixture_.add_routed(x, normed.floats(), tokens, 1.0F, given.floats(), scratch); });
}

std::int64_t MlpBesideMixture::weight_bytes() const {
    return mlp_.weight_bytes() + mixture_.weight_bytes();
}

}  // namespace vq
