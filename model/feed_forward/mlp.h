// SPDX-License-Identifier: Apache-2.0
// The MLP: down(act(W_gate x) * (W_up x)), or down(act(W_up x)). Its inside, what `down` reads, can
// be had alone.
#pragma once

#include <optional>

#include "model/feed_forward/feed_forward.h"

namespace vq {

/// What an MLP's tensors are called in a block: its own, an expert's, the shared experts'.
struct MlpRoles {
    TensorRole gate;
    TensorRole up;
    std::optional<TensorRole> gate_up;
    TensorRole down;
};
inline constexpr MlpRoles block_mlp = {TensorRole::gate, TensorRole::up, TensorRole::gate_up,
                                       TensorRole::down};

class MlpInside {
public:
    MlpInside() = default;
    MlpInside(const BlockContext& context, const LayerWeights& weights, const MlpRoles& roles,
              Activation activation, Index expert = -1);
    Index width() const { return width_; }
    std::int64_t weight_bytes() const;
    /// out (tokens, width) of x (tokens, hidden).
    void apply(const float* x, Index tokens, float* out, ScratchPool& scratch) const;

private:
    void apply_tile(const float* x, Index tokens, float* out, ScratchPool& scratch) const;

    Kernels::Activate activate_ = nullptr;
    Index width_ = 0;
    Linear first_;  ///< gate, or up where there is no gate, or both stacked
    Linear up_;     ///< where gate stands alone
    bool stacked_ = false;
    bool gated_ = true;
};

class Mlp final : public FeedForward {
public:
    Mlp(const BlockContext& context, const LayerWeights& weights, const MlpRoles& roles,
        Activation activation, Index expert = -1);
    void add(const float* x, Index tokens, float factor, float* stream,
             ScratchPool& scratch) const override;
    std::int64_t weight_bytes() const override;
    /// out (tokens, hidden) = f(x).
    void apply(const float* x, Index tokens, float* out, ScratchPool& scratch) const;

private:
    MlpInside inside_;
    Linear down_;
};

}  // namespace vq
