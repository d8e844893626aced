// SPDX-License-Identifier: Apache-2.0
// One block of a transformer, in two halves:
//   stream += r post_norm(W_last mix(norm(stream)));   the mixer (model/mixers/)
//   stream += r post_norm(f(norm(stream)));            the feed-forward (model/feed_forward/)
// Some end with what they take of the token itself (layer_inputs.h), or times a number.
// Any norm may be absent; in a parallel block both halves read the first norm's output.
#pragma once

#include <algorithm>
#include <memory>

#include "model/feed_forward/feed_forward.h"
#include "model/layer_inputs.h"
#include "model/mixers/make_mixer.h"
#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"
#include "model/ops/token_tiles.h"

namespace vq {

/// What a half does around its own work.
struct HalfNorms {
    Norm before;
    Norm after;
    float residual_scale = 1;

    /// `stream` normed: in `out` (tokens, hidden) unless there is no norm, then the stream itself.
    const float* input(const BlockContext& context, const float* stream, Index tokens,
                       float* out) const;
    /// add(factor, to) adds factor times what the half gives to rows `to` (tokens, hidden).
    template <class F>
    void add_to_stream(const BlockContext& context, Index tokens, float* stream,
                       ScratchPool& scratch, F&& add) const {
        if (after.empty()) {
            add(residual_scale, stream);
            return;
        }
        const Index size = tokens * context.config.hidden_size;
        const auto given = scratch.floats(size);
        std::fill_n(given.floats(), size, 0.0F);
        add(1.0F, given.floats());
        after.apply(given.floats(), tokens, given.floats(), *context.kernel);
        Eigen::Map<Vector>(stream, size) +=
            residual_scale * Eigen::Map<const Vector>(given.floats(), size);
    }
};

/// The norms of a block's mixer, and of its feed-forward. An MLP beside a mixture norms its inputs
/// itself.
HalfNorms mixer_norms(const LayerWeights& weights);
HalfNorms feed_forward_norms(const LayerWeights& weights);

/// What the stream is multiplied with at the end of a block; mostly 1.
float block_scale(const LayerWeights& weights);

/// A whole block, resident.
class Block {
public:
    /// `context` must outlive the block.
    Block(const BlockContext& context, const LayerWeights& weights);
    /// The stream of one sequence through the block, in place; `past` and `state` as in TokenMixer,
    /// `inputs` where the block takes such.
    void forward(float* stream, Index tokens, Index past, MixerState* state, ScratchPool& scratch,
                 const LayerInputRows& inputs = {}) const;
    /// Bytes of weights that a token reads.
    std::int64_t weight_bytes() const;

private:
    const BlockContext& context_;
    bool parallel_;
    HalfNorms mixer_norms_;
    std::unique_ptr<TokenMixer> mixer_;
    Linear mixer_last_;
    HalfNorms feed_forward_norms_;
    std::unique_ptr<FeedForward> feed_forward_;
    std::unique_ptr<LayerInput> input_;  ///< may be null
    float scale_;
};

}  // namespace vq
