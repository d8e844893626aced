// SPDX-License-Identifier: Apache-2.0
// A mixture of experts:
//   f(x) = sum over the chosen experts of w_e mlp_e(x)  (+ s mlp_shared(x), s = sigmoid(v . x) or 1)
// or, where weights scale the input, mlp_e(w_e x). The tokens of a batch are grouped by expert: one
// token reads the weights of its own experts alone.
#pragma once

#include <memory>
#include <vector>

#include "model/feed_forward/mlp.h"
#include "model/feed_forward/router.h"

namespace vq {

inline constexpr MlpRoles expert_mlp = {TensorRole::expert_gate, TensorRole::expert_up,
                                        TensorRole::expert_gate_up, TensorRole::expert_down};
inline constexpr MlpRoles shared_mlp = {TensorRole::shared_gate, TensorRole::shared_up,
                                        std::nullopt, TensorRole::shared_down};

/// The experts that every token goes through.
class SharedExperts {
public:
    SharedExperts(const BlockContext& context, const LayerWeights& weights);
    void add(const float* x, Index tokens, float factor, float* stream, ScratchPool& scratch) const;
    std::int64_t weight_bytes() const { return mlp_.weight_bytes(); }

private:
    Mlp mlp_;
    Vector switch_;  ///< v; may be empty
};

class Mixture final : public FeedForward {
public:
    Mixture(const BlockContext& context, const LayerWeights& weights);
    void add(const float* x, Index tokens, float factor, float* stream,
             ScratchPool& scratch) const override;
    /// The same where the router reads other rows (tokens, hidden) than the experts.
    void add_routed(const float* by, const float* x, Index tokens, float factor, float* stream,
                    ScratchPool& scratch) const;
    std::int64_t weight_bytes() const override;

private:
    void add_some(const float* by, const float* x, Index tokens, float factor, float* stream,
                  ScratchPool& scratch) const;

    Index hidden_;
    bool scales_input_;
    Router router_;
    std::vector<std::unique_ptr<Mlp>> experts_;
    std::unique_ptr<SharedExperts> shared_;  ///< may be null
};

}  // namespace vq
