// SPDX-License-Identifier: Apache-2.0
// Router: which experts of a mixture a token goes to, and what they weigh.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"
#include "model/ops/scratch.h"

namespace vq {

/// Where some tokens go: `active` experts each, in ascending order.
struct Routing {
    Index active = 0;
    std::vector<std::int32_t> experts;  ///< size (tokens, active)
    std::vector<float> weights;         ///< size (tokens, active)

    /// The places in `experts` of one expert's tokens; place / active is the token.
    std::vector<std::vector<Index>> by_expert(Index n_experts) const;
    /// The tokens at some of an expert's places, and what they weigh there.
    struct Rows {
        std::vector<Index> tokens;
        std::vector<float> weights;
    };
    Rows rows(std::span<const Index> places) const;
};

class Router {
public:
    Router(const BlockContext& context, const LayerWeights& weights);
    /// x (tokens, hidden): what the feed-forward reads; the stream itself where the router norms it.
    Routing route(const float* x, Index tokens, ScratchPool& scratch) const;
    Index active() const { return config_.n_active; }
    std::int64_t weight_bytes() const { return logits_.weight_bytes(); }

private:
    void choose(float* logits, std::int32_t* experts, float* weights) const;
    void leave_best_groups(std::vector<float>& choice) const;

    const Kernels& kernel_;
    MixtureConfig config_;
    Norm norm_;      ///< of what it reads; may be empty
    Linear logits_;  ///< fp32, whatever the precision: a flip sends a token elsewhere
    Vector bias_;    ///< of the choice alone; may be empty
    Vector scale_;   ///< of every expert's weight; may be empty
};

}  // namespace vq
