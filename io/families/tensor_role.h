// SPDX-License-Identifier: Apache-2.0
// What a tensor of a model is for, whatever its family calls it.
#pragma once

#include <cstdint>

namespace vq {

/// In the order of the network; within a group of layers that share an input, in the order in which
/// the runtime stacks their outputs.
enum class TensorRole : std::uint8_t {
    embedding,
    // What every block takes of a token beside the stream (Gemma 4), of all blocks together.
    layer_embedding,        ///< a row a word, the blocks' parts one behind the other
    layer_projection,       ///< of the embedding
    layer_projection_norm,  ///< of each block's part of that
    // Attention.
    attention_norm,  ///< before q, k and v, or whatever else mixes tokens
    query,
    key,
    value,
    query_key_value,  ///< the three in one, rows of q first
    query_norm,       ///< of heads, or of the whole projection
    key_norm,
    sinks,  ///< a logit a head that only the softmax's sum sees
    attention_out,
    // Latent attention (DeepSeek V2).
    latent_query_down,
    latent_query_norm,
    latent_query_up,
    latent_key_value_down,  ///< kv_rank rows, then the turning key
    latent_key_value_norm,
    latent_key_value_up,  ///< of each head: the key's other part, then the value
    // Gated delta net (Qwen3-Next).
    delta_query_key_value,
    delta_gate,                  ///< z
    delta_write,                 ///< b
    delta_decay,                 ///< a
    delta_query_key_value_gate,  ///< the first two in one, interleaved by key head
    delta_write_decay,           ///< b and a in one, interleaved by key head
    delta_conv,                  ///< size (channels, kernel)
    delta_log_decay,             ///< A_log
    delta_decay_bias,            ///< dt_bias
    delta_norm,                  ///< of each value head
    delta_out,
    // Short convolution (LFM2).
    conv_in,
    conv_weight,  ///< size (hidden, kernel)
    conv_out,
    attention_post_norm,  ///< of what the mixer gives, before it is added
    // The MLP.
    mlp_norm,  ///< before gate and up
    gate,
    up,
    gate_up,  ///< the two in one, rows of gate first
    down,
    // A mixture of experts.
    mlp_own_post_norm,  ///< of what the MLP beside a mixture gives
    expert_norm,        ///< before the experts of a mixture beside an MLP
    router,
    router_scale,  ///< of what the router reads: the stream, normed without weights
    router_bias,   ///< of the choice alone
    expert_scale,  ///< of each expert's weight
    expert_gate,
    expert_up,
    expert_gate_up,  ///< the two in one
    expert_down,
    shared_gate,
    shared_up,
    shared_down,
    shared_switch,     ///< the shared experts' output times sigmoid(x . w)
    expert_post_norm,  ///< of what the experts of a mixture beside an MLP give
    mlp_post_norm,     ///< of what the MLP gives, before it is added
    // A block's part of layer_embedding and layer_projection.
    layer_input_gate,
    layer_input_out,
    layer_input_norm,  ///< of what they give, before it is added
    layer_scalar,      ///< a block ends with the stream times this number
    final_norm,
    head,
};

/// Roles of tensors that are vectors.
bool is_vector(TensorRole role);

}  // namespace vq
