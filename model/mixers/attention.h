// SPDX-License-Identifier: Apache-2.0
// Attention of heads that share keys and values:
//   q, k, v = W_qkv x;  heads of q and k are normed and turned by their positions;
//   head h of the output = softmax(scale q_h k^T, masked) v
// with what the configuration adds: windows and chunks, caps of the scores, sinks, gates, and keys
// and values of another layer.
#pragma once

#include <memory>

#include "model/mixers/token_mixer.h"
#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"

namespace vq {

std::unique_ptr<TokenMixer> make_attention(const BlockContext& context,
                                           const LayerWeights& weights);
/// Keys and values, already turned; a layer with a window or chunks keeps no more than it can see.
/// One that looks at those of another layer gets the state of that one, which must outlive its own.
std::unique_ptr<MixerState> make_attention_state(const LayerConfig& layer, Index capacity,
                                                 const MixerState* lender);

}  // namespace vq
