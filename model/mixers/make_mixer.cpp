// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/make_mixer.h"

#include "base/error.h"
#include "model/mixers/attention.h"
#include "model/mixers/gated_delta.h"
#include "model/mixers/latent_attention.h"
#include "model/mixers/short_conv.h"

namespace vq {

void TokenMixer::inputs(GroupKind, const float*, Index, float*, ScratchPool&) const {
    VQ_ASSERT(false);  // has no group in between
}

std::unique_ptr<TokenMixer> make_mixer(const BlockContext& context, const LayerWeights& weights) {
    switch (weights.config().mixer) {
        case Mixer::attention: return make_attention(context, weights);
        case Mixer::latent_attention: return make_latent_attention(context, weights);
        case Mixer::gated_delta: return make_gated_delta(context, weights);
        case Mixer::short_conv: return make_short_conv(weights);
    }
    VQ_ASSERT(false);
    return nullptr;
}

std::unique_ptr<MixerState> make_mixer_state(const ModelConfig& config, const LayerConfig& layer,
                                             Index capacity, const MixerState* lender) {
    switch (layer.mixer) {
        case Mixer::attention: return make_attention_state(layer, capacity, lender);
        case Mixer::latent_attention: return make_latent_state(layer.latent, capacity);
        case Mixer::gated_delta: return std::make_unique<GatedDeltaState>(layer.delta);
        case Mixer::short_conv:
            return std::make_unique<ShortConvState>(layer.conv.kernel, config.hidden_size);
    }
    VQ_ASSERT(false);
    return nullptr;
}

GroupKind last_group(Mixer mixer) {
    switch (mixer) {
        case Mixer::gated_delta: return GroupKind::delta_out;
        case Mixer::short_conv: return GroupKind::conv_out;
        default: return GroupKind::attention_out;
    }
}

}  // namespace vq
