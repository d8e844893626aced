// SPDX-License-Identifier: Apache-2.0
// The gated delta net (arXiv 2412.06464). A head keeps a matrix S (key_dim, value_dim) instead of
// the keys and values of the past; for every token, with q, k, v from a short convolution and silu,
// q and k of length 1, q divided by sqrt(key_dim):
//   g = exp(-exp(A_log) softplus(a + dt_bias)),  beta = sigmoid(b)
//   S = g S;  S += beta k (v - S^T k)^T;  o = S^T q;  out = rms_norm(o) * silu(z)
//
// S and all sums are fp32. That is enough: a step multiplies S by g (I - beta k k^T), no factor of
// which is above 1, so that an old rounding error never grows, and new ones weigh as one of S
// itself does. g, whose powers reach over the whole text, is made in fp64 and rounded once.
//
// Tokens are taken one after the other, in prompts too: the same steps whether they come one by one
// or together, and the same bits. With 32 heads of 128 x 128 that takes a sixth of the time of the
// products before and after it. The chunked form of the paper has no fewer multiply-adds (3 an
// element of S and token), it only makes products of matrices of them; and S stays in the
// first-level cache over many tokens as it is.
#pragma once

#include <memory>

#include "model/mixers/token_mixer.h"
#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"

namespace vq {

/// The tensors of a gated delta net that are not products.
struct GatedDeltaWeights {
    Matrix taps;  ///< size (kernel, channels), from conv_taps(); channels: all q, all k, all v
    Vector rate;  ///< size (n_value_heads): exp(A_log)
    Vector decay_bias;  ///< size (n_value_heads): dt_bias
    Vector norm;        ///< size (value_dim)
};

/// What a sequence leaves behind: zeros before its first token.
struct GatedDeltaState final : MixerState {
    Matrix recent;  ///< size (kernel - 1, channels): the convolution's last inputs, oldest first
    Matrix memory;  ///< size (n_value_heads, key_dim * value_dim): S, in the order of the steps
    explicit GatedDeltaState(const GatedDeltaConfig& config);
};

/// Channels of the convolution: 2 n_key_heads * key_dim + n_value_heads * value_dim.
Index conv_channels(const GatedDeltaConfig& config);

/// What the products of the normed stream give. config.interleaved: a token has (q, k, v, z) of
/// each key head in turn, and (b, a) so; else all q, all k, all v, all z, and b and a apart.
struct GatedDeltaInputs {
    const float* qkvz;  ///< size (tokens, conv_channels() + n_value_heads * value_dim)
    const float* b;     ///< size (tokens, n_value_heads); interleaved: (tokens, 2 n_value_heads)
    const float* a;     ///< size (tokens, n_value_heads); interleaved: not used
};

/// out (tokens, n_value_heads * value_dim). `eps` is the norm's. With a state, the tokens follow
/// those that it was left by, and it is brought up to date; null: they begin a sequence that nobody
/// will continue.
void gated_delta(const GatedDeltaConfig& config, const GatedDeltaWeights& weights, float eps,
                 const Kernels& kernel, const GatedDeltaInputs& inputs, Index tokens,
                 GatedDeltaState* state, float* out, ScratchPool& scratch);

/// The mixer. b and a stay fp32 whatever the precision: they are a thousandth of the weights, and
/// an error of a decay acts on all that follows.
std::unique_ptr<TokenMixer> make_gated_delta(const BlockContext& context,
                                             const LayerWeights& weights);

}  // namespace vq
