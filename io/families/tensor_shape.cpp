// SPDX-License-Identifier: Apache-2.0
#include "io/families/tensor_shape.h"

namespace vq {
namespace {

struct Shape {
    std::int64_t rows;
    std::int64_t cols;
};

Shape vector_of(std::int64_t size) {
    return {1, size};
}

Shape attention_shape(const LayerConfig& layer, std::int64_t hidden, TensorRole role) {
    const AttentionConfig& a = layer.attention;
    const std::int64_t out = a.n_heads * a.head_dim;
    const std::int64_t q = a.output_gate ? 2 * out : out;
    const std::int64_t kv = a.n_kv_heads * a.head_dim;
    const bool whole = a.head_norm == HeadNorm::whole;
    switch (role) {
        case TensorRole::query: return {q, hidden};
        case TensorRole::key:
        case TensorRole::value: return {kv, hidden};
        case TensorRole::query_key_value: return {q + 2 * kv, hidden};
        case TensorRole::query_norm:
            // Cohere keeps a norm's weights for every head.
            if (a.head_norm == HeadNorm::each_head_layer) return {a.n_heads, a.head_dim};
            return vector_of(whole ? out : a.head_dim);
        case TensorRole::key_norm:
            if (a.head_norm == HeadNorm::each_head_layer) return {a.n_kv_heads, a.head_dim};
            return vector_of(whole ? kv : a.head_dim);
        case TensorRole::sinks: return vector_of(a.n_heads);
        default: return {hidden, out};
    }
}

Shape latent_shape(const LayerConfig& layer, std::int64_t hidden, TensorRole role) {
    const LatentAttentionConfig& a = layer.latent;
    const std::int64_t q = a.n_heads * (a.plain_dim + a.rope_dim);
    switch (role) {
        case TensorRole::query: return {q, hidden};
        case TensorRole::latent_query_down: return {a.query_rank, hidden};
        case TensorRole::latent_query_norm: return vector_of(a.query_rank);
        case TensorRole::latent_query_up: return {q, a.query_rank};
        case TensorRole::latent_key_value_down: return {a.kv_rank + a.rope_dim, hidden};
        case TensorRole::latent_key_value_norm: return vector_of(a.kv_rank);
        case TensorRole::latent_key_value_up:
            return {a.n_heads * (a.plain_dim + a.value_dim), a.kv_rank};
        default: return {hidden, a.n_heads * a.value_dim};
    }
}

Shape delta_shape(const LayerConfig& layer, std::int64_t hidden, TensorRole role) {
    const GatedDeltaConfig& d = layer.delta;
    const std::int64_t keys = d.n_key_heads * d.key_dim;
    const std::int64_t values = d.n_value_heads * d.value_dim;
    switch (role) {
        case TensorRole::delta_query_key_value: return {2 * keys + values, hidden};
        case TensorRole::delta_gate: return {values, hidden};
        case TensorRole::delta_write:
        case TensorRole::delta_decay: return {d.n_value_heads, hidden};
        case TensorRole::delta_query_key_value_gate: return {2 * keys + 2 * values, hidden};
        case TensorRole::delta_write_decay: return {2 * d.n_value_heads, hidden};
        case TensorRole::delta_conv: return {2 * keys + values, d.kernel};
        case TensorRole::delta_log_decay:
        case TensorRole::delta_decay_bias: return vector_of(d.n_value_heads);
        case TensorRole::delta_norm: return vector_of(d.value_dim);
        default: return {hidden, values};
    }
}

Shape mixture_shape(const LayerConfig& layer, std::int64_t hidden, TensorRole role) {
    const MixtureConfig& m = layer.mixture;
    switch (role) {
        case TensorRole::router: return {m.n_experts, hidden};
        case TensorRole::router_bias:
        case TensorRole::expert_scale: return vector_of(m.n_experts);
        case TensorRole::expert_gate:
        case TensorRole::expert_up: return {m.width, hidden};
        case TensorRole::expert_gate_up: return {2 * m.width, hidden};
        case TensorRole::expert_down: return {hidden, m.width};
        case TensorRole::shared_gate:
        case TensorRole::shared_up: return {m.shared_width, hidden};
        case TensorRole::shared_down: return {hidden, m.shared_width};
        default: return vector_of(hidden);  // shared_switch
    }
}

Shape shape_of(const ModelConfig& config, const LayerConfig& layer, TensorRole role) {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t all_inputs = config.n_layers() * config.layer_inputs.width;
    switch (role) {
        case TensorRole::embedding:
        case TensorRole::head: return {config.vocab_size, hidden};
        case TensorRole::layer_embedding: return {config.vocab_size, all_inputs};
        case TensorRole::layer_projection: return {all_inputs, hidden};
        case TensorRole::layer_projection_norm: return vector_of(config.layer_inputs.width);
        case TensorRole::attention_norm:
        case TensorRole::attention_post_norm:
        case TensorRole::mlp_norm:
        case TensorRole::mlp_own_post_norm:
        case TensorRole::mlp_post_norm:
        case TensorRole::expert_norm:
        case TensorRole::expert_post_norm:
        case TensorRole::router_scale:
        case TensorRole::layer_input_norm:
        case TensorRole::final_norm: return vector_of(hidden);
        case TensorRole::layer_input_gate: return {layer.layer_input, hidden};
        case TensorRole::layer_input_out: return {hidden, layer.layer_input};
        case TensorRole::layer_scalar: return vector_of(1);
        case TensorRole::query:
        case TensorRole::attention_out:
            return layer.mixer == Mixer::latent_attention ? latent_shape(layer, hidden, role)
                                                          : attention_shape(layer, hidden, role);
        case TensorRole::key:
        case TensorRole::value:
        case TensorRole::query_key_value:
        case TensorRole::query_norm:
        case TensorRole::key_norm:
        case TensorRole::sinks: return attention_shape(layer, hidden, role);
        case TensorRole::latent_query_down:
        case TensorRole::latent_query_norm:
        case TensorRole::latent_query_up:
        case TensorRole::latent_key_value_down:
        case TensorRole::latent_key_value_norm:
        case TensorRole::latent_key_value_up: return latent_shape(layer, hidden, role);
        case TensorRole::delta_query_key_value:
        case TensorRole::delta_gate:
        case TensorRole::delta_write:
        case TensorRole::delta_decay:
        case TensorRole::delta_query_key_value_gate:
        case TensorRole::delta_write_decay:
        case TensorRole::delta_conv:
        case TensorRole::delta_log_decay:
        case TensorRole::delta_decay_bias:
        case TensorRole::delta_norm:
        case TensorRole::delta_out: return delta_shape(layer, hidden, role);
        case TensorRole::conv_in: return {3 * hidden, hidden};
        case TensorRole::conv_weight: return {hidden, layer.conv.kernel};
        case TensorRole::conv_out: return {hidden, hidden};
        case TensorRole::gate:
        case TensorRole::up: return {layer.mlp.width, hidden};
        case TensorRole::gate_up: return {2 * layer.mlp.width, hidden};
        case TensorRole::down: return {hidden, layer.mlp.width};
        case TensorRole::router:
        case TensorRole::router_bias:
        case TensorRole::expert_scale:
        case TensorRole::expert_gate:
        case TensorRole::expert_up:
        case TensorRole::expert_gate_up:
        case TensorRole::expert_down:
        case TensorRole::shared_gate:
        case TensorRole::shared_up:
        case TensorRole::shared_down:
        case TensorRole::shared_switch: return mixture_shape(layer, hidden, role);
    }
    return {0, 0};
}

}  // namespace

void set_shape(const ModelConfig& config, const LayerConfig& layer, ModelTensor& tensor) {
    const Shape shape = shape_of(config, layer, tensor.role);
    tensor.rows = shape.rows;
    tensor.cols = shape.cols;
}

}  // namespace vq
