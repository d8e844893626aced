// SPDX-License-Identifier: Apache-2.0
// The gated short convolution (arXiv 2511.23404): with b, c, x the three parts of a token's row,
//   out = c * conv(b * x)
// products by element, conv over the last `kernel` tokens of each channel.
#pragma once

#include <memory>

#include "model/mixers/token_mixer.h"
#include "model/ops/layer_weights.h"

namespace vq {

/// What a sequence leaves behind: b * x of its last kernel - 1 tokens, zeros before the first one.
struct ShortConvState final : MixerState {
    Matrix recent;  ///< size (kernel - 1, hidden), oldest first
    ShortConvState(Index kernel, Index hidden) : recent(Matrix::Zero(kernel - 1, hidden)) {}
};

/// out (tokens, hidden) of rows (tokens, 3 hidden): b, then c, then x. `taps` (kernel, hidden) come
/// from conv_taps(). With a state, the tokens follow those that it was left by, and it is brought
/// up to date; null: they begin a sequence that nobody will continue.
void short_conv(const Matrix& taps, const float* rows, Index tokens, ShortConvState* state,
                float* out, ScratchPool& scratch);

std::unique_ptr<TokenMixer> make_short_conv(const LayerWeights& weights);

}  // namespace vq
