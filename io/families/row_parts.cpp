// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "io/families/rows.h"

namespace vq::rows {

Names usual_names(Bias qkv, Bias out, Bias mlp) {
    using enum TensorRole;
    return {
        {embedding, "model.embed_tokens", "token_embd"},
        {attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
        {query, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", qkv},
        {key, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", qkv},
        {value, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v", qkv},
        {attention_out, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output", out},
        {mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
        {gate, "model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate", mlp},
        {up, "model.layers.{}.mlp.up_proj", "blk.{}.ffn_up", mlp},
        {down, "model.layers.{}.mlp.down_proj", "blk.{}.ffn_down", mlp},
        {final_norm, "model.norm", "output_norm"},
        {head, "lm_head", "output"},
    };
}

Names head_norm_names(Bias qkv, Bias out, Bias mlp) {
    using enum TensorRole;
    return with(usual_names(qkv, out, mlp),
                {{query_norm, "model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"},
                 {key_norm, "model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"}});
}

Names with(Names names, std::initializer_list<TensorNames> changes) {
    for (const TensorNames& change : changes) {
        const auto place =
            std::lower_bound(names.begin(), names.end(), change,
                             [](const auto& a, const auto& b) { return a.role < b.role; });
        if (place != names.end() && place->role == change.role)
            *place = change;
        else
            names.insert(place, change);
    }
    return names;
}

Names without(Names names, std::initializer_list<TensorRole> roles) {
    std::erase_if(names, [&](const TensorNames& tensor) {
        return std::find(roles.begin(), roles.end(), tensor.role) != roles.end();
    });
    return names;
}

Names sandwich_norms(Names names) {
    using enum TensorRole;
    return with(
        std::move(names),
        {{attention_post_norm, "model.layers.{}.post_attention_layernorm",
          "blk.{}.post_attention_norm"},
         {mlp_norm, "model.layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm"},
         {mlp_post_norm, "model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm"}});
}

Names post_norms(Names names) {
    using enum TensorRole;
    return with(
        without(std::move(names), {attention_norm, mlp_norm}),
        {{attention_post_norm, "model.layers.{}.post_attention_layernorm",
          "blk.{}.post_attention_norm"},
         {mlp_post_norm, "model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm"}});
}

Names mixture_names(Names names) {
    using enum TensorRole;
    return with(
        std::move(names),
        {{router, "model.layers.{}.mlp.gate", "blk.{}.ffn_gate_inp"},
         {expert_gate, "model.layers.{}.mlp.experts.{}.gate_proj", "blk.{}.ffn_gate_exps"},
         {expert_up, "model.layers.{}.mlp.experts.{}.up_proj", "blk.{}.ffn_up_exps"},
         {expert_down, "model.layers.{}.mlp.experts.{}.down_proj", "blk.{}.ffn_down_exps"}});
}

Names mixtral_names(Names names) {
    using enum TensorRole;
    return with(
        without(std::move(names), {gate, up, down}),
        {{router, "model.layers.{}.block_sparse_moe.gate", "blk.{}.ffn_gate_inp"},
         {expert_gate, "model.layers.{}.block_sparse_moe.experts.{}.w1", "blk.{}.ffn_gate_exps"},
         {expert_up, "model.layers.{}.block_sparse_moe.experts.{}.w3", "blk.{}.ffn_up_exps"},
         {expert_down, "model.layers.{}.block_sparse_moe.experts.{}.w2", "blk.{}.ffn_down_exps"}});
}

Names with_choice_bias(Names names) {
    return with(std::move(names), {{.role = TensorRole::router_bias,
                                    .hf = "model.layers.{}.mlp.gate.e_score_correction_bias",
                                    .gguf = "blk.{}.exp_probs_b.bias",
                                    .bare = true}});
}

Names with_shared_experts(Names names) {
    using enum TensorRole;
    return with(
        std::move(names),
        {{shared_gate, "model.layers.{}.mlp.shared_experts.gate_proj", "blk.{}.ffn_gate_shexp"},
         {shared_up, "model.layers.{}.mlp.shared_experts.up_proj", "blk.{}.ffn_up_shexp"},
         {shared_down, "model.layers.{}.mlp.shared_experts.down_proj", "blk.{}.ffn_down_shexp"}});
}

Keys usual_keys(const UsualDefaults& defaults) {
    using enum Setting;
    return {
        {activation, "hidden_act", nullptr, R"("silu")"},
        {vocab_size, "vocab_size", "vocab_size"},
        {hidden_size, "hidden_size", "embedding_length"},
        {intermediate_size, "intermediate_size", "feed_forward_length"},
        {layers, "num_hidden_layers", "block_count"},
        {heads, "num_attention_heads", "attention.head_count"},
        {kv_heads, "num_key_value_heads", "attention.head_count_kv"},
        {head_dim, "head_dim", "attention.key_length"},
        {max_position, "max_position_embeddings", "context_length", defaults.longest},
        {norm_epsilon, "rms_norm_eps", "attention.layer_norm_rms_epsilon", defaults.epsilon},
        {rope_theta, "rope_theta", "rope.freq_base", defaults.theta},
        {rope_scaling, "rope_scaling"},
        {rope_parameters, "rope_parameters"},
        {original_max_position, "original_max_position_embeddings"},
        {tie_embeddings, "tie_word_embeddings", nullptr, defaults.tied},
        {bos_ids, "bos_token_id", nullptr, defaults.bos},
        {eos_ids, "eos_token_id", nullptr, defaults.eos},
    };
}

Keys llama_keys(const UsualDefaults& defaults) {
    using enum Setting;
    return with(usual_keys(defaults), {{partial_rotary, "partial_rotary_factor", nullptr, "1.0"},
                                       {attention_bias, "attention_bias", nullptr, "false"},
                                       {mlp_bias, "mlp_bias", nullptr, "false"}});
}

Keys with(Keys keys, std::initializer_list<ConfigKey> changes) {
    for (const ConfigKey& change : changes) {
        const auto place = std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& key) {
            return (change.setting != Setting::fixed && key.setting == change.setting) ||
                   std::string_view(key.hf) == change.hf;
        });
        if (place == keys.end())
            keys.insert(
                std::find_if(keys.begin(), keys.end(),
                             [](const ConfigKey& k) { return k.setting == Setting::bos_ids; }),
                change);
        else
            *place = change;
    }
    return keys;
}

Keys also(Keys keys, std::initializer_list<ConfigKey> more) {
    keys.insert(keys.end(), more);
    return keys;
}

Keys without(Keys keys, std::initializer_list<Setting> settings) {
    std::erase_if(keys, [&](const ConfigKey& key) {
        return std::find(settings.begin(), settings.end(), key.setting) != settings.end();
    });
    return keys;
}

Keys with_switched_windows(Keys keys) {
    using enum Setting;
    return with(std::move(keys), {{sliding_window, "sliding_window", nullptr, "4096"},
                                  {use_window, "use_sliding_window", nullptr, "false"},
                                  {max_window_layers, "max_window_layers", nullptr, "28"},
                                  {layer_types, "layer_types"}});
}

Keys with_mixture(Keys keys, const char* normalized) {
    using enum Setting;
    return with(std::move(keys),
                {{experts, "num_experts", "expert_count"},
                 {active_experts, "num_experts_per_tok", "expert_used_count"},
                 {expert_width, "moe_intermediate_size", "expert_feed_forward_length"},
                 {normalize_weights, "norm_topk_prob", "expert_weights_norm", normalized}});
}

Keys with_routed_mixture(Keys keys) {
    using enum Setting;
    return with(with_mixture(std::move(keys), "true"),
                {{experts, "n_routed_experts", "expert_count"},
                 {shared_experts, "n_shared_experts", "expert_shared_count", "1"},
                 {routed_scale, "routed_scaling_factor", "expert_weights_scale", "1.0"},
                 {expert_groups, "n_group", "expert_group_count", "1"},
                 {active_groups, "topk_group", "expert_group_used_count", "1"},
                 {first_dense_layers, "first_k_dense_replace", "leading_dense_block_count", "1"},
                 {next_token_layers, "num_nextn_predict_layers", "nextn_predict_layers", "0"}});
}

Keys with_granite_scalars(Keys keys) {
    using enum Setting;
    return with(std::move(keys),
                {{score_multiplier, "attention_multiplier", "attention.scale", "1.0"},
                 {embedding_multiplier, "embedding_multiplier", "embedding_scale", "1.0"},
                 {residual_multiplier, "residual_multiplier", "residual_scale", "1.0"},
                 {logit_divisor, "logits_scaling", "logit_scale", "1.0"}});
}

Keys with_latent_attention(Keys keys) {
    using enum Setting;
    return with(without(std::move(keys), {head_dim, partial_rotary}),
                {{kv_rank, "kv_lora_rank", "attention.kv_lora_rank", "512"},
                 {query_rank, "q_lora_rank", "attention.q_lora_rank", "1536"},
                 {plain_head_dim, "qk_nope_head_dim", nullptr, "128"},
                 {rope_head_dim, "qk_rope_head_dim", "rope.dimension_count", "64"},
                 {whole_head_dim, "qk_head_dim"},
                 {value_head_dim, "v_head_dim", nullptr, "128"}});
}

}  // namespace vq::rows
