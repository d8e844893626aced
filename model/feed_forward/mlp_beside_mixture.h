// SPDX-License-Identifier: Apache-2.0
// An MLP and a mixture of experts side by side (Gemma 4), each between norms of its own:
//   f(x) = post_mlp(mlp(norm_mlp(x))) + post_experts(sum w_e mlp_e(norm_experts(x)))
// x is the stream itself, by which the router chooses, too.
#pragma once

#include "model/feed_forward/mixture.h"

namespace vq {

/// Of the two halves; those after them may be absent.
struct BesideNorms {
    Norm mlp_before;
    Norm mlp_after;
    Norm experts_before;
    Norm experts_after;

    explicit BesideNorms(const LayerWeights& weights);
};

class MlpBesideMixture final : public FeedForward {
public:
    MlpBesideMixture(const BlockContext& context, const LayerWeights& weights);
    void add(const float* x, Index tokens, float factor, float* stream,
             ScratchPool& scratch) const override;
    std::int64_t weight_bytes() const override;

private:
    const Kernels& kernel_;
    Index hidden_;
    BesideNorms norms_;
    Mlp mlp_;
    Mixture mixture_;
};

}  // namespace vq
