// SPDX-License-Identifier: Apache-2.0
// How calibration sees the experts of a mixture. A token goes where the stream's own router sends
// it; the loss of expert e is the sum over its tokens of w^2 |dW x|^2 (w: what it weighs there), so
//   H_e = sum w^2 x x^T,
// and where weights scale the input instead, x is that input. An expert that saw few tokens leans
// on all of them: with the means of H over tokens,
//   H_e + a s H_all,  a = n0 / (n_e + n0),  n0 = inputs,  s: so that both traces are the same.
// H_all of `down` is of the expert run on a sample of all tokens, and only where n_e < n0.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/feed_forward/mixture.h"
#include "vq/layer/drift.h"
#include "vq/layer/hessian.h"

namespace vq {

/// A stream of the walk where a mixture stands.
struct MixtureStream {
    LayerWeights weights;
    /// What the experts read of these tokens, and what the router does: out (tokens, hidden).
    std::function<void(std::span<const Index>, float*)> rows;
    std::function<void(std::span<const Index>, float*)> routed;
};

class ExpertWalk {
public:
    /// Routes all tokens. `context` must outlive it.
    ExpertWalk(const BlockContext& context, const MixtureStream& stream, Index tokens,
               ScratchPool& scratch);
    /// Tokens that each expert saw.
    std::vector<Index> counts() const;

    /// Adds what a group of an expert reads to `sum`. With `drift`, also how the inputs of the same
    /// tokens in `original` differ.
    void collect(GroupKind kind, Index expert, const MixtureStream& stream, HessianSum& sum,
                 DriftSum* drift, const MixtureStream* original);
    /// Experts 0 .. settled() - 1 have given what they give: their weights are not needed any more.
    Index settled() const { return settled_; }
    /// Adds what the next one gives, under the weights of `stream`.
    void settle(const MixtureStream& stream);
    /// Size (tokens, hidden): what all experts and the shared ones give. Ends the walk.
    const Matrix& finish(const MixtureStream& stream);

private:
    class Inputs;
    /// use(first, x): what `rows` gives of tokens first .. first + x.rows() - 1.
    void for_all(const std::function<void(std::span<const Index>, float*)>& rows,
                 const std::function<void(Index, const Matrix&)>& use) const;
    void lean(GroupKind kind, Inputs& inputs, const MixtureStream& stream, HessianSum& sum);
    const HessianSum& all_inputs(const MixtureStream& stream);

    const BlockContext& context_;
    ScratchPool& scratch_;
    Index tokens_;
    bool scales_input_;
    Routing routing_;
    std::vector<std::vector<Index>> places_;  ///< of each expert, in the routing
    HessianSum all_inputs_;                   ///< of all tokens; empty until it is asked for
    Matrix given_;                            ///< size (tokens, hidden), by settled experts
    Index settled_ = 0;
};

}  // namespace vq
