// SPDX-License-Identifier: Apache-2.0
// Families that mix tokens in other ways than by plain attention, in all blocks or in some.
#include "io/families/rows.h"

namespace vq::rows {
namespace {

using enum Setting;
using Weight = MixtureConfig::Weight;

// ---- latent attention (DeepSeek) ----------------------------------------------------------------

Names latent_names() {
    using enum TensorRole;
    constexpr Bias down_bias = Bias::if_configured;
    return with(
        without(usual_names(Bias::never, Bias::if_configured), {key, value}),
        {{latent_query_down, "model.layers.{}.self_attn.q_a_proj", "blk.{}.attn_q_a", down_bias},
         {latent_query_norm, "model.layers.{}.self_attn.q_a_layernorm", "blk.{}.attn_q_a_norm"},
         {latent_query_up, "model.layers.{}.self_attn.q_b_proj", "blk.{}.attn_q_b"},
         {latent_key_value_down, "model.layers.{}.self_attn.kv_a_proj_with_mqa",
          "blk.{}.attn_kv_a_mqa", down_bias},
         {latent_key_value_norm, "model.layers.{}.self_attn.kv_a_layernorm",
          "blk.{}.attn_kv_a_norm"},
         {latent_key_value_up, "model.layers.{}.self_attn.kv_b_proj", "blk.{}.attn_kv_b"}});
}

const std::vector<std::string_view> latent_ignored = {
    "head_dim", "pretraining_tp", "auto_map", "output_router_logits", "aux_loss_alpha",
    "seq_aux",  "moe_layer_freq", "ep_size",  "router_aux_loss_coef"};

Family deepseek_v3() {
    return {.model_type = "deepseek_v3",
            .hf_class = "DeepseekV3ForCausalLM",
            .features = {.latent = true, .routing = Weight::sigmoid},
            .gguf = {.architecture = "deepseek2"},
            .tensors = with_shared_experts(with_choice_bias(mixture_names(latent_names()))),
            .keys = with(
                with_routed_mixture(
                    with_latent_attention(usual_keys({.longest = "4096", .bos = "0", .eos = "1"}))),
                {{first_dense_layers, "first_k_dense_replace", "leading_dense_block_count", "3"},
                 {routed_scale, "routed_scaling_factor", "expert_weights_scale", "2.5"},
                 {expert_groups, "n_group", "expert_group_count", "8"},
                 {active_groups, "topk_group", "expert_group_used_count", "4"},
                 {rope_interleave, "rope_interleave", nullptr, "true"},
                 {attention_bias, "attention_bias", nullptr, "false"},
                 {fixed, "topk_method", nullptr, R"("noaux_tc")"},
                 {fixed, "scoring_func", nullptr, R"("sigmoid")"}}),
            .ignored_keys = latent_ignored};
}

Family glm4_moe_lite() {
    Family family = deepseek_v3();
    family.model_type = "glm4_moe_lite";
    family.hf_class = "Glm4MoeLiteForCausalLM";
    // GGUF files of this family are of the same architecture, and read as that family.
    family.keys = with(without(family.keys, {first_dense_layers}),
                       {{first_dense_layers, "first_k_dense_replace", nullptr, "0"},
                        {mlp_types, "mlp_layer_types"},
                        {routed_scale, "routed_scaling_factor", "expert_weights_scale", "1.8"},
                        {expert_groups, "n_group", "expert_group_count", "1"},
                        {active_groups, "topk_group", "expert_group_used_count", "1"}});
    family.gguf.architecture = "";
    return family;
}

Family deepseek_v2() {
    return {.model_type = "deepseek_v2",
            .hf_class = "DeepseekV2ForCausalLM",
            .features = {.rope_interleaved = true, .latent = true},
            .gguf = {.architecture = "deepseek2"},
            .tensors = with_shared_experts(mixture_names(latent_names())),
            .keys = with(
                without(with_routed_mixture(with_latent_attention(usual_keys())),
                        {normalize_weights, expert_groups, active_groups, next_token_layers}),
                {{first_dense_layers, "first_k_dense_replace", "leading_dense_block_count", "0"},
                 {attention_bias, "attention_bias", nullptr, "false"},
                 {fixed, "mlp_bias", nullptr, "false"},
                 {fixed, "topk_method", nullptr, R"("greedy")"},
                 {fixed, "scoring_func", nullptr, R"("softmax")"}}),
            // Groups count for another method of choosing alone; weights never add up to 1.
            .ignored_keys = {"head_dim", "pretraining_tp", "auto_map", "output_router_logits",
                             "aux_loss_alpha", "seq_aux", "moe_layer_freq", "ep_size", "n_group",
                             "topk_group", "norm_topk_prob", "router_aux_loss_coef"}};
}

// ---- gated delta nets (Qwen3-Next) --------------------------------------------------------------

Names delta_names(Names names) {
    using enum TensorRole;
    return with(
        std::move(names),
        {{.role = delta_conv,
          .hf = "model.layers.{}.linear_attn.conv1d",
          .gguf = "blk.{}.ssm_conv1d",
          .dimensions = 3},
         {.role = delta_log_decay,
          .hf = "model.layers.{}.linear_attn.A_log",
          .gguf = "blk.{}.ssm_a",
          .bare = true},
         {.role = delta_decay_bias,
          .hf = "model.layers.{}.linear_attn.dt_bias",
          .gguf = "blk.{}.ssm_dt.bias",
          .bare = true},
         {delta_norm, "model.layers.{}.linear_attn.norm", "blk.{}.ssm_norm"},
         {delta_out, "model.layers.{}.linear_attn.out_proj", "blk.{}.ssm_out"},
         {mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm"}});
}

Names split_delta_names(Names names) {
    using enum TensorRole;
    return with(
        delta_names(std::move(names)),
        {{delta_query_key_value, "model.layers.{}.linear_attn.in_proj_qkv", "blk.{}.attn_qkv"},
         {delta_gate, "model.layers.{}.linear_attn.in_proj_z", "blk.{}.attn_gate"},
         {delta_write, "model.layers.{}.linear_attn.in_proj_b", "blk.{}.ssm_beta"},
         {delta_decay, "model.layers.{}.linear_attn.in_proj_a", "blk.{}.ssm_alpha"}});
}

Names switched_shared_expert(Names names) {
    using enum TensorRole;
    return with(
        mixture_names(std::move(names)),
        {{shared_gate, "model.layers.{}.mlp.shared_expert.gate_proj", "blk.{}.ffn_gate_shexp"},
         {shared_up, "model.layers.{}.mlp.shared_expert.up_proj", "blk.{}.ffn_up_shexp"},
         {shared_down, "model.layers.{}.mlp.shared_expert.down_proj", "blk.{}.ffn_down_shexp"},
         {.role = shared_switch,
          .hf = "model.layers.{}.mlp.shared_expert_gate",
          .gguf = "blk.{}.ffn_gate_inp_shexp",
          .dimensions = 2}});
}

Keys delta_keys() {
    return with(usual_keys({.longest = "32768"}),
                {{head_dim, "head_dim", "attention.key_length", "256"},
                 {partial_rotary, "partial_rotary_factor", nullptr, "0.25"},
                 {attention_bias, "attention_bias", nullptr, "false"},
                 {layer_types, "layer_types"},
                 {attention_interval, "full_attention_interval", "full_attention_interval", "4"},
                 {delta_key_heads, "linear_num_key_heads", "ssm.group_count", "16"},
                 {delta_value_heads, "linear_num_value_heads", "ssm.time_step_rank", "32"},
                 {delta_key_dim, "linear_key_head_dim", "ssm.state_size", "128"},
                 {delta_value_dim, "linear_value_head_dim", nullptr, "128"},
                 {delta_kernel, "linear_conv_kernel_dim", "ssm.conv_kernel", "4"}});
}

Keys delta_mixture_keys() {
    return with(with_mixture(delta_keys(), "true"),
                {{experts, "num_experts", "expert_count", "512"},
                 {active_experts, "num_experts_per_tok", "expert_used_count", "10"},
                 {expert_width, "moe_intermediate_size", "expert_feed_forward_length", "512"},
                 {shared_width, "shared_expert_intermediate_size",
                  "expert_shared_feed_forward_length", "512"}});
}

constexpr FamilyFeatures delta_features = {.norm = NormKind::rms_plus_one,
                                           .head_norm = HeadNorm::each_head,
                                           .output_gate = true,
                                           .layers = LayerPattern::delta_but_nth};

Family qwen3_next() {
    using enum TensorRole;
    FamilyFeatures features = delta_features;
    features.delta_interleaved = true;
    return {.model_type = "qwen3_next",
            .hf_class = "Qwen3NextForCausalLM",
            .features = features,
            .gguf = {.architecture = "qwen3next", .folded_norms = true, .normalized = true},
            .tensors = with(
                switched_shared_expert(
                    delta_names(head_norm_names(Bias::if_configured, Bias::if_configured))),
                {{delta_query_key_value_gate, "model.layers.{}.linear_attn.in_proj_qkvz",
                  "blk.{}.attn_qkv|blk.{}.attn_gate"},
                 {delta_write_decay, "model.layers.{}.linear_attn.in_proj_ba", "blk.{}.ssm_ba"}}),
            .keys = with(delta_mixture_keys(),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "2"},
                          {intermediate_size, "intermediate_size", "feed_forward_length", "5632"},
                          {sparse_step, "decoder_sparse_step", nullptr, "1"},
                          {dense_layers, "mlp_only_layers"}}),
            .ignored_keys = {"output_router_logits", "router_aux_loss_coef"}};
}

// Positions in pictures turn dimensions apart; those of text are all one number.
const std::vector<std::string_view> picture_positions = {"mrope_section", "mrope_interleaved"};

Family qwen3_5() {
    return {.model_type = "qwen3_5_text",
            .hf_class = "Qwen3_5ForCausalLM",
            .features = delta_features,
            .gguf = {.architecture = "qwen35", .folded_norms = true, .delta_tiled = true},
            .tensors = split_delta_names(head_norm_names(Bias::if_configured, Bias::if_configured)),
            .keys = with(delta_keys(),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"}}),
            .ignored_keys = {"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings",
                             "mamba_ssm_dtype", "attn_output_gate"},
            .ignored_rope_keys = picture_positions};
}

Family qwen3_5_moe() {
    FamilyFeatures features = delta_features;
    features.normalized = true;
    return {.model_type = "qwen3_5_moe_text",
            .hf_class = "Qwen3_5MoeForCausalLM",
            .features = features,
            .gguf = {.architecture = "qwen35moe", .folded_norms = true, .delta_tiled = true},
            .tensors = without(switched_shared_expert(split_delta_names(
                                   head_norm_names(Bias::if_configured, Bias::if_configured))),
                               {TensorRole::gate, TensorRole::up, TensorRole::down}),
            .keys = with(without(delta_mixture_keys(), {intermediate_size, normalize_weights}),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "2"},
                          {experts, "num_experts", "expert_count", "256"},
                          {active_experts, "num_experts_per_tok", "expert_used_count", "8"}}),
            .ignored_keys = {"intermediate_size", "output_router_logits", "router_aux_loss_coef",
                             "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings",
                             "mamba_ssm_dtype", "attn_output_gate"},
            .ignored_rope_keys = picture_positions};
}

// ---- short convolutions (LFM2) ------------------------------------------------------------------

Names conv_names() {
    using enum TensorRole;
    return with(usual_names(),
                {{attention_norm, "model.layers.{}.operator_norm", "blk.{}.attn_norm"},
                 {query_norm, "model.layers.{}.self_attn.q_layernorm", "blk.{}.attn_q_norm"},
                 {key_norm, "model.layers.{}.self_attn.k_layernorm", "blk.{}.attn_k_norm"},
                 {attention_out, "model.layers.{}.self_attn.out_proj", "blk.{}.attn_output"},
                 {conv_in, "model.layers.{}.conv.in_proj", "blk.{}.shortconv.in_proj"},
                 {.role = conv_weight,
                  .hf = "model.layers.{}.conv.conv",
                  .gguf = "blk.{}.shortconv.conv",
                  .dimensions = 3},
                 {conv_out, "model.layers.{}.conv.out_proj", "blk.{}.shortconv.out_proj"},
                 {mlp_norm, "model.layers.{}.ffn_norm", "blk.{}.ffn_norm"},
                 {gate, "model.layers.{}.feed_forward.w1", "blk.{}.ffn_gate"},
                 {up, "model.layers.{}.feed_forward.w3", "blk.{}.ffn_up"},
                 {down, "model.layers.{}.feed_forward.w2", "blk.{}.ffn_down"},
                 {final_norm, "model.embedding_norm", "token_embd_norm"}});
}

Keys conv_keys() {
    return with(without(usual_keys({.longest = "128000",
                                    .bos = "1",
                                    .eos = "2",
                                    .theta = "1000000.0",
                                    .epsilon = "1e-5",
                                    .tied = "true"}),
                        {Setting::head_dim}),
                {{norm_epsilon, "norm_eps", "attention.layer_norm_rms_epsilon", "1e-5"},
                 {kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                 {layer_types, "layer_types"},
                 {conv_kernel, "conv_L_cache", "shortconv.l_cache", "3"},
                 {attention_layers, "full_attn_idxs"},
                 {fixed, "conv_bias", nullptr, "false"},
                 {fixed, "tie_embedding", nullptr, "true"}});
}

Family lfm2() {
    return {
        .model_type = "lfm2",
        .hf_class = "Lfm2ForCausalLM",
        .features = {.head_norm = HeadNorm::each_head, .layers = LayerPattern::convolutions},
        .gguf = {.architecture = "lfm2"},
        .tensors = conv_names(),
        .keys = with(conv_keys(), {{adjust_width, "block_auto_adjust_ff_dim", nullptr, "true"},
                                   {width_multiplier, "block_ffn_dim_multiplier", nullptr, "1.0"},
                                   {width_multiple, "block_multiple_of", nullptr, "256"},
                                   {fixed, "block_use_swiglu", nullptr, "true"}}),
        .ignored_keys = {"block_dim", "block_mlp_init_scale", "block_norm_eps",
                         "block_out_init_scale", "block_use_xavier_init", "conv_dim",
                         "conv_dim_out", "conv_use_xavier_init", "num_heads", "use_pos_enc",
                         "rms_norm_eps"}};
}

Family lfm2_moe() {
    using enum TensorRole;
    return {
        .model_type = "lfm2_moe",
        .hf_class = "Lfm2MoeForCausalLM",
        .features = {.head_norm = HeadNorm::each_head,
                     .layers = LayerPattern::convolutions,
                     .routing = Weight::sigmoid},
        .gguf = {.architecture = "lfm2moe", .normalized = true},
        .tensors = with(
            conv_names(),
            {{router, "model.layers.{}.feed_forward.gate", "blk.{}.ffn_gate_inp"},
             {.role = TensorRole::router_bias,
              .hf = "model.layers.{}.feed_forward.expert_bias",
              .gguf = "blk.{}.exp_probs_b.bias",
              .bare = true},
             {expert_gate, "model.layers.{}.feed_forward.experts.{}.w1", "blk.{}.ffn_gate_exps"},
             {expert_up, "model.layers.{}.feed_forward.experts.{}.w3", "blk.{}.ffn_up_exps"},
             {expert_down, "model.layers.{}.feed_forward.experts.{}.w2", "blk.{}.ffn_down_exps"}}),
        .keys = with(with_mixture(conv_keys(), "true"),
                     {{experts, "num_experts", "expert_count", "32"},
                      {active_experts, "num_experts_per_tok", "expert_used_count", "4"},
                      {expert_width, "moe_intermediate_size", "expert_feed_forward_length", "1792"},
                      {first_dense_layers, "num_dense_layers", "leading_dense_block_count", "2"},
                      {Setting::router_bias, "use_expert_bias", nullptr, "true"},
                      {routed_scale, "routed_scaling_factor", "expert_weights_scale", "1.0"}}),
        .ignored_keys = {"output_router_logits", "router_aux_loss_coef", "rms_norm_eps"}};
}

}  // namespace

std::vector<Family> latent_rows() {
    return {deepseek_v3(), deepseek_v2(), glm4_moe_lite()};
}

std::vector<Family> hybrid_rows() {
    return {qwen3_next(), qwen3_5(), qwen3_5_moe(), lfm2(), lfm2_moe()};
}

}  // namespace vq::rows
