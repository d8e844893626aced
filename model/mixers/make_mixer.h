// SPDX-License-Identifier: Apache-2.0
// The mixers that there are.
#pragma once

#include <memory>

#include "model/mixers/token_mixer.h"
#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"

namespace vq {

/// The mixer of a block. `context` must outlive it.
std::unique_ptr<TokenMixer> make_mixer(const BlockContext& context, const LayerWeights& weights);
/// The state of its empty sequence, which may grow to `capacity` tokens. `lender`: that of the
/// layer whose keys the block looks at, if it does; it must outlive this one.
std::unique_ptr<MixerState> make_mixer_state(const ModelConfig& config, const LayerConfig& layer,
                                             Index capacity, const MixerState* lender = nullptr);
/// The group of W_last.
GroupKind last_group(Mixer mixer);

}  // namespace vq
