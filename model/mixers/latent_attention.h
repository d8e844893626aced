// SPDX-License-Identifier: Apache-2.0
// Latent attention (arXiv 2405.04434). Keys and values of all heads are products of one short row a
// token, c (kv_rank), beside a key r (rope_dim) that turns and serves all heads:
//   [k_h | v_h] = W_h c,   score = scale (q_h . k_h + rotated q_h' . r),   out_h = sum_s p_s v_h
// The cache holds c and r: kv_rank + rope_dim floats a token, whatever the number of heads.
//
// Two orders of the same products. Expanded: k and v are made for every token seen; best for
// prompts. Absorbed: q_h W_h' meets c itself, and the sum of p_s c_s is multiplied by W_h'' at the
// end; best for few queries, which read each row of the cache once for several heads instead of
// making keys and values of all of it anew. The cheaper one is taken, by count of multiply-adds.
#pragma once

#include <memory>

#include "model/mixers/token_mixer.h"
#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"

namespace vq {

/// The epsilon of both norms inside, whatever the model's other norms have.
inline constexpr float latent_eps = 1e-6F;

/// Floats a token in the cache.
inline Index latent_width(const LatentAttentionConfig& config) {
    return config.kv_rank + config.rope_dim;
}

/// latent (kv_rank + rope_dim) of one token: `row`, as the first product gives it, with c normed by
/// `norm` (kv_rank) and r turned to `position`.
void make_latent(const LatentAttentionConfig& config, const Vector& norm, const RopeTable& rope,
                 const Kernels& kernel, const float* row, Index position, float* latent);

/// Turns the heads of a query (n_heads * (plain_dim + rope_dim)) to `position`, in place.
void turn_query(const LatentAttentionConfig& config, const RopeTable& rope, const Kernels& kernel,
                float* query, Index position);

/// out (tokens, n_heads * value_dim): causal attention. queries (tokens, n_heads * (plain_dim +
/// rope_dim)) are turned and stand at positions past, past + 1, ...; latents (past + tokens,
/// kv_rank + rope_dim) come from make_latent(); up (n_heads * (plain_dim + value_dim), kv_rank) is
/// W, of each head the rows of k, then of v.
void latent_attention(const LatentAttentionConfig& config, const Kernels& kernel, const Matrix& up,
                      const float* queries, const float* latents, Index tokens, Index past,
                      float* out, ScratchPool& scratch);

/// The two orders, for tests and for benchmarks: shapes as above.
void latent_attention_expanded(const LatentAttentionConfig& config, const Kernels& kernel,
                               const Matrix& up, const float* queries, const float* latents,
                               Index tokens, Index past, float* out, ScratchPool& scratch);
void latent_attention_absorbed(const LatentAttentionConfig& config, const Kernels& kernel,
                               const Matrix& up, const float* queries, const float* latents,
                               Index tokens, Index past, float* out, ScratchPool& scratch);

/// The mixer. W is resident in fp32 whatever the precision: the absorbed order needs it transposed,
/// which packed weights cannot be.
std::unique_ptr<TokenMixer> make_latent_attention(const BlockContext& context,
                                                  const LayerWeights& weights);
std::unique_ptr<MixerState> make_latent_state(const LatentAttentionConfig& config, Index capacity);

}  // namespace vq
