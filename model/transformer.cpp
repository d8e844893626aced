// SPDX-License-Identifier: Apache-2.0
#include "model/transformer.h"

namespace vq {

const float* HalfNorms::input(const BlockContext& context, const float* stream, Index tokens,
                              float* out) const {
    if (before.empty()) return stream;
    const Index hidden = before.width();
    for_token_tiles(tokens, [&](Index first, Index count) {
        before.apply(stream + first * hidden, count, out + first * hidden, *context.kernel);
    });
    return out;
}

HalfNorms mixer_norms(const LayerWeights& weights) {
    return {weights.norm(TensorRole::attention_norm), weights.norm(TensorRole::attention_post_norm),
            static_cast<float>(weights.config().residual_scale)};
}

HalfNorms feed_forward_norms(const LayerWeights& weights) {
    const bool beside = weights.config().mlp_beside_mixture();
    return {beside ? Norm{} : weights.norm(TensorRole::mlp_norm),
            weights.norm(TensorRole::mlp_post_norm),
            static_cast<float>(weights.config().residual_scale)};
}

float block_scale(const LayerWeights& weights) {
    const bool scaled = weights.find(TensorRole::layer_scalar) != nullptr;
    return scaled ? weights.vector(TensorRole::layer_scalar)[0] : 1.0F;
}

Block::Block(const BlockContext& context, const LayerWeights& weights)
    : context_(context),
      parallel_(weights.config().parallel),
      mixer_norms_(mixer_norms(weights)),
      mixer_(make_mixer(context, weights)),
      mixer_last_(weights.group(last_group(weights.config().mixer))),
      feed_forward_norms_(feed_forward_norms(weights)),
      feed_forward_(make_feed_forward(context, weights)),
      scale_(block_scale(weights)) {
    if (weights.config().layer_input > 0) input_ = std::make_unique<LayerInput>(context, weights);
}

void Block::forward(float* stream, Index tokens, Index past, MixerState* state,
                    ScratchPool& scratch, const LayerInputRows& inputs) const {
    const auto normed = scratch.floats(tokens * context_.config.hidden_size);
    const float* x = mixer_norms_.input(context_, stream, tokens, normed.floats());
    {
        const auto mixed = scratch.floats(tokens * mixer_last_.in());
        mixer_->mix(x, tokens, past, state, mixed.floats(), scratch);
        mixer_norms_.add_to_stream(context_, tokens, stream, scratch, [&](float factor, float* to) {
            add_product(mixer_last_, mixed.floats(), tokens, factor, to, scratch);
        });
    }
    if (!parallel_) x = feed_forward_norms_.input(context_, stream, tokens, normed.floats());
    feed_forward_norms_.add_to_stream(
        context_, tokens, stream, scratch,
        [&](float factor, float* to) { feed_forward_->add(x, tokens, factor, to, scratch); });
    if (input_ != nullptr) input_->add(inputs, tokens, stream, scratch);
    if (scale_ != 1.0F) Eigen::Map<Vector>(stream, tokens * context_.config.hidden_size) *= scale_;
}

std::int64_t Block::weight_bytes() const {
    return mixer_->weight_bytes() + mixer_last_.weight_bytes() + feed_forward_->weight_bytes() +
           (input_ != nullptr ? input_->weight_bytes() : 0);
}

}  // namespace vq
