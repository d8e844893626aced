// SPDX-License-Identifier: Apache-2.0
// Families with mixtures of experts.
#include "io/families/rows.h"

namespace vq::rows {
namespace {

using enum Setting;
using Weight = MixtureConfig::Weight;

/// Losses of training.
const std::vector<std::string_view> router_ignored = {
    "output_router_logits", "router_aux_loss_coef",
    "router_jitter_noise",  "router_z_loss_coef",
    "aux_loss_alpha",       "seq_aux",
    "moe_layer_freq",       "ep_size"};

std::vector<std::string_view> ignored(std::initializer_list<std::string_view> more = {}) {
    std::vector<std::string_view> all = router_ignored;
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

Family mixtral() {
    return {.model_type = "mixtral",
            .hf_class = "MixtralForCausalLM",
            .features = {.layers = LayerPattern::windows, .normalized = true},
            .gguf = {.architecture = "llama", .interleaved_pairs = true},
            .tensors = mixtral_names(usual_names()),
            .keys = with(usual_keys({.longest = "131072",
                                     .bos = "1",
                                     .eos = "2",
                                     .theta = "1000000.0",
                                     .epsilon = "1e-5"}),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                          {sliding_window, "sliding_window", "attention.sliding_window"},
                          {experts, "num_local_experts", "expert_count", "8"},
                          {active_experts, "num_experts_per_tok", "expert_used_count", "2"}}),
            .ignored_keys = ignored()};
}

Keys sparse_steps(Keys keys) {
    return with(std::move(keys), {{sparse_step, "decoder_sparse_step", nullptr, "1"},
                                  {dense_layers, "mlp_only_layers"}});
}

Family qwen2_moe() {
    using enum TensorRole;
    return {
        .model_type = "qwen2_moe",
        .hf_class = "Qwen2MoeForCausalLM",
        .features = {.layers = LayerPattern::windows_from},
        .gguf = {.architecture = "qwen2moe"},
        .tensors = with(
            mixture_names(usual_names(Bias::if_configured)),
            {{shared_gate, "model.layers.{}.mlp.shared_expert.gate_proj", "blk.{}.ffn_gate_shexp"},
             {shared_up, "model.layers.{}.mlp.shared_expert.up_proj", "blk.{}.ffn_up_shexp"},
             {shared_down, "model.layers.{}.mlp.shared_expert.down_proj", "blk.{}.ffn_down_shexp"},
             {.role = shared_switch,
              .hf = "model.layers.{}.mlp.shared_expert_gate",
              .gguf = "blk.{}.ffn_gate_inp_shexp",
              .dimensions = 2}}),
        .keys = with(
            sparse_steps(with_mixture(with_switched_windows(without(
                                          usual_keys({.longest = "32768"}), {Setting::head_dim})),
                                      "false")),
            {{experts, "num_experts", "expert_count", "60"},
             {active_experts, "num_experts_per_tok", "expert_used_count", "4"},
             {expert_width, "moe_intermediate_size", "expert_feed_forward_length", "1408"},
             {shared_width, "shared_expert_intermediate_size", "expert_shared_feed_forward_length",
              "5632"},
             {attention_bias, "qkv_bias", nullptr, "true"}}),
        .ignored_keys = ignored()};
}

Family qwen3_moe() {
    return {.model_type = "qwen3_moe",
            .hf_class = "Qwen3MoeForCausalLM",
            .features = {.head_norm = HeadNorm::each_head},
            .gguf = {.architecture = "qwen3moe", .normalized = true},
            .tensors = mixture_names(head_norm_names(Bias::if_configured, Bias::if_configured)),
            .keys = also(
                with(sparse_steps(with_mixture(usual_keys({.longest = "32768"}), "false")),
                     {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"},
                      {experts, "num_experts", "expert_count", "128"},
                      {active_experts, "num_experts_per_tok", "expert_used_count", "8"},
                      {expert_width, "moe_intermediate_size", "expert_feed_forward_length", "768"},
                      {fixed, "use_sliding_window", nullptr, "false"},
                      {attention_bias, "attention_bias", nullptr, "false"}}),
                {{experts, "num_local_experts"}}),
            // Windows are refused by the key that switches them on.
            .ignored_keys = ignored({"sliding_window", "max_window_layers"})};
}

Family olmoe() {
    return {
        .model_type = "olmoe",
        .hf_class = "OlmoeForCausalLM",
        .features = {.head_norm = HeadNorm::whole},
        .gguf = {.architecture = "olmoe"},
        .tensors = without(mixture_names(head_norm_names(Bias::if_configured, Bias::if_configured)),
                           {TensorRole::gate, TensorRole::up, TensorRole::down}),
        .keys = with(
            without(with_mixture(usual_keys({.longest = "4096", .eos = "50279", .epsilon = "1e-5"}),
                                 "false"),
                    {Setting::head_dim, expert_width}),
            {{experts, "num_experts", "expert_count", "64"},
             {active_experts, "num_experts_per_tok", "expert_used_count", "8"},
             {fixed, "clip_qkv", nullptr, "null"},
             {attention_bias, "attention_bias", nullptr, "false"}}),
        .ignored_keys = ignored()};
}

Family granitemoe() {
    using enum TensorRole;
    return {.model_type = "granitemoe",
            .hf_class = "GraniteMoeForCausalLM",
            .features = {.routing = Weight::softmax_of_chosen},
            .gguf = {.architecture = "granitemoe", .interleaved_pairs = true},
            .tensors = with(
                without(usual_names(Bias::if_configured, Bias::if_configured), {gate, up, down}),
                {{router, "model.layers.{}.block_sparse_moe.router.layer", "blk.{}.ffn_gate_inp"},
                 {.role = expert_gate_up,
                  .hf = "model.layers.{}.block_sparse_moe.input_linear.weight[{}]",
                  .gguf = "blk.{}.ffn_gate_exps|blk.{}.ffn_up_exps",
                  .bare = true,
                  .experts = ExpertLayout::stacked},
                 {.role = expert_down,
                  .hf = "model.layers.{}.block_sparse_moe.output_linear.weight[{}]",
                  .gguf = "blk.{}.ffn_down_exps",
                  .bare = true,
                  .experts = ExpertLayout::stacked}}),
            .keys = with(with_granite_scalars(usual_keys({.bos = "1", .eos = "2"})),
                         {{experts, "num_local_experts", "expert_count", "8"},
                          {active_experts, "num_experts_per_tok", "expert_used_count", "2"},
                          {attention_bias, "attention_bias", nullptr, "false"}}),
            .ignored_keys = ignored()};
}

Family glm4_moe() {
    return {.model_type = "glm4_moe",
            .hf_class = "Glm4MoeForCausalLM",
            .features = {.head_norm = HeadNorm::each_head, .routing = Weight::sigmoid},
            .gguf = {.architecture = "glm4moe"},
            .tensors = with(with_shared_experts(with_choice_bias(
                                mixture_names(head_norm_names(Bias::if_configured)))),
                            {{TensorRole::mlp_norm, "model.layers.{}.post_attention_layernorm",
                              "blk.{}.post_attention_norm"}}),
            .keys = with(with_routed_mixture(usual_keys({.longest = "131072", .epsilon = "1e-5"})),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                          {partial_rotary, "partial_rotary_factor", nullptr, "0.5"},
                          {use_head_norm, "use_qk_norm", nullptr, "false"},
                          {attention_bias, "attention_bias", nullptr, "false"}}),
            .ignored_keys = ignored()};
}

Family ernie4_5_moe() {
    using enum TensorRole;
    constexpr Bias all = Bias::if_configured;
    return {
        .model_type = "ernie4_5_moe",
        .hf_class = "Ernie4_5_MoeForCausalLM",
        .features = {.rope_interleaved = true, .normalized = true},
        .gguf = {.architecture = "ernie4_5-moe"},
        .tensors = with(with_shared_experts(mixture_names(usual_names(all, all, all))),
                        {{.role = router_bias,
                          .hf = "model.layers.{}.mlp.moe_statics.e_score_correction_bias",
                          .gguf = "blk.{}.exp_probs_b.bias",
                          .bare = true,
                          .dimensions = 2}}),
        .keys = with(without(usual_keys({.longest = "131072",
                                         .bos = "1",
                                         .eos = "2",
                                         .theta = "500000.0",
                                         .epsilon = "1e-5",
                                         .tied = "true"}),
                             {Setting::head_dim}),
                     {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"},
                      {experts, "moe_num_experts", "expert_count", "64"},
                      {active_experts, "moe_k", "expert_used_count", "6"},
                      {expert_width, "moe_intermediate_size", "expert_feed_forward_length", "1536"},
                      {shared_experts, "moe_num_shared_experts", "expert_shared_count", "2"},
                      {first_sparse_layer, "moe_layer_start_index", nullptr, "1"},
                      {last_sparse_layer, "moe_layer_end_index", nullptr, "-1"},
                      {sparse_step, "moe_layer_interval", nullptr, "1"},
                      {attention_bias, "use_bias", nullptr, "false"},
                      {fixed, "moe_gate", nullptr, R"("topk")"},
                      {fixed, "moe_use_aux_free", nullptr, "true"}}),
        // The least sum that weights are divided by; capacities are of training.
        .ignored_keys =
            ignored({"moe_norm_min", "moe_capacity", "moe_dropout_prob", "moe_aux_loss_lambda"})};
}

Family minimax_m2() {
    using enum TensorRole;
    return {
        .model_type = "minimax_m2",
        .hf_class = "MiniMaxM2ForCausalLM",
        .features = {.head_norm = HeadNorm::whole, .routing = Weight::sigmoid, .normalized = true},
        .gguf = {.architecture = "minimax-m2"},
        .tensors = with(mixtral_names(head_norm_names()),
                        {{.role = router_bias,
                          .hf = "model.layers.{}.block_sparse_moe.e_score_correction_bias",
                          .gguf = "blk.{}.exp_probs_b.bias",
                          .bare = true}}),
        .keys = with(usual_keys({.longest = "196608", .theta = "5000000.0"}),
                     {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                      {head_dim, "head_dim", "attention.key_length", "128"},
                      {partial_rotary, "partial_rotary_factor"},
                      {rotary_dim, "rotary_dim"},
                      {experts, "num_local_experts", "expert_count", "256"},
                      {active_experts, "num_experts_per_tok", "expert_used_count", "8"},
                      {fixed, "scoring_func", nullptr, R"("sigmoid")"},
                      {fixed, "use_qk_norm", nullptr, "true"},
                      {fixed, "qk_norm_type", nullptr, R"("per_layer")"},
                      {fixed, "use_routing_bias", nullptr, "true"},
                      {fixed, "shared_intermediate_size", nullptr, "0"},
                      {fixed, "sliding_window", nullptr, "null"}}),
        .ignored_keys = ignored({"auto_map", "use_mtp", "num_mtp_modules", "mtp_transformer_layers",
                                 "attn_type_list"})};
}

Family hunyuan_moe() {
    using enum TensorRole;
    return {
        .model_type = "hunyuan_v1_moe",
        .hf_class = "HunYuanMoEV1ForCausalLM",
        .features = {.head_norm = HeadNorm::after_rope, .normalized = true},
        .gguf = {.architecture = "hunyuan-moe"},
        .tensors = with(
            without(mixture_names(usual_names(Bias::if_configured, Bias::if_configured)),
                    {gate, up, down}),
            {{query_norm, "model.layers.{}.self_attn.query_layernorm", "blk.{}.attn_q_norm"},
             {key_norm, "model.layers.{}.self_attn.key_layernorm", "blk.{}.attn_k_norm"},
             {router, "model.layers.{}.mlp.gate.wg", "blk.{}.ffn_gate_inp"},
             {shared_gate, "model.layers.{}.mlp.shared_mlp.gate_proj", "blk.{}.ffn_gate_shexp"},
             {shared_up, "model.layers.{}.mlp.shared_mlp.up_proj", "blk.{}.ffn_up_shexp"},
             {shared_down, "model.layers.{}.mlp.shared_mlp.down_proj", "blk.{}.ffn_down_shexp"}}),
        .keys = with(usual_keys({.bos = "1", .eos = "2", .epsilon = "1e-5"}),
                     {{experts, "num_experts", "expert_count", "1"},
                      {active_experts, "moe_topk", "expert_used_count", "1"},
                      {shared_experts, "num_shared_expert", "expert_shared_count", "1"},
                      {attention_bias, "attention_bias", nullptr, "false"},
                      {fixed, "mlp_bias", nullptr, "false"},
                      {fixed, "use_qk_norm", nullptr, "true"},
                      {fixed, "use_cla", nullptr, "false"},
                      {fixed, "use_mixed_mlp_moe", nullptr, "true"},
                      {fixed, "norm_topk_prob", nullptr, "true"}}),
        .ignored_keys = ignored(
            {"pretraining_tp", "eod_token_id", "org_vocab_size", "use_rotary_pos_emb",
             "attention_head_dim", "cla_share_factor", "norm_type", "pad_id", "im_start_id",
             "im_end_id", "mask_init_id", "text_start_id", "text_end_id", "moe_drop_tokens",
             "moe_random_routing_dropped_token", "capacity_factor", "group_limited_greedy"})};
}

Family gpt_oss() {
    using enum TensorRole;
    return {
        .model_type = "gpt_oss",
        .hf_class = "GptOssForCausalLM",
        .features = {.sinks = true,
                     .clamped_swiglu = true,
                     .mxfp4 = true,
                     .layers = LayerPattern::windows_but_nth,
                     .window_pattern = 2,
                     .routing = Weight::softmax_of_chosen},
        .gguf = {.architecture = "gpt-oss", .exact_yarn = true},
        .tensors = with(
            without(usual_names(Bias::if_configured, Bias::if_configured), {gate, up, down}),
            {{.role = sinks,
              .hf = "model.layers.{}.self_attn.sinks",
              .gguf = "blk.{}.attn_sinks",
              .bare = true},
             {mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm"},
             {router, "model.layers.{}.mlp.router", "blk.{}.ffn_gate_inp", Bias::always},
             {expert_gate_up, "model.layers.{}.mlp.experts.gate_up_proj[{}]",
              "blk.{}.ffn_gate_exps|blk.{}.ffn_up_exps", Bias::always, true,
              ExpertLayout::interleaved},
             {expert_down, "model.layers.{}.mlp.experts.down_proj[{}]", "blk.{}.ffn_down_exps",
              Bias::always, true, ExpertLayout::transposed}}),
        .keys = with(
            usual_keys(
                {.longest = "131072", .eos = "200002", .theta = "150000.0", .epsilon = "1e-5"}),
            {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
             {head_dim, "head_dim", "attention.key_length", "64"},
             {sliding_window, "sliding_window", "attention.sliding_window", "128"},
             {layer_types, "layer_types"},
             {experts, "num_local_experts", "expert_count", "128"},
             {active_experts, "num_experts_per_tok", "expert_used_count", "4"},
             {attention_bias, "attention_bias", nullptr, "true"},
             {fixed, "swiglu_limit", nullptr, "7.0"},
             {fixed, "swiglu_alpha", nullptr, "1.702"}}),
        // experts_per_token says again what num_experts_per_tok does.
        .ignored_keys = ignored({"experts_per_token", "initial_context_length"})};
}

Family llama4() {
    using enum TensorRole;
    return {
        .model_type = "llama4_text",
        .hf_class = "Llama4ForCausalLM",
        .features = {.head_norm = HeadNorm::unit_after_rope,
                     .rope_interleaved = true,
                     .layers = LayerPattern::chunks_that_turn,
                     .turning = Turning::listed,
                     .routing = Weight::sigmoid_of_input},
        .gguf = {.architecture = "llama4"},
        .tensors = with(usual_names(Bias::if_configured, Bias::if_configured),
                        {{gate, "model.layers.{}.feed_forward.gate_proj", "blk.{}.ffn_gate"},
                         {up, "model.layers.{}.feed_forward.up_proj", "blk.{}.ffn_up"},
                         {down, "model.layers.{}.feed_forward.down_proj", "blk.{}.ffn_down"},
                         {router, "model.layers.{}.feed_forward.router", "blk.{}.ffn_gate_inp"},
                         {expert_gate_up, "model.layers.{}.feed_forward.experts.gate_up_proj[{}]",
                          "blk.{}.ffn_gate_exps|blk.{}.ffn_up_exps", Bias::never, true,
                          ExpertLayout::transposed},
                         {expert_down, "model.layers.{}.feed_forward.experts.down_proj[{}]",
                          "blk.{}.ffn_down_exps", Bias::never, true, ExpertLayout::transposed},
                         {shared_gate, "model.layers.{}.feed_forward.shared_expert.gate_proj",
                          "blk.{}.ffn_gate_shexp"},
                         {shared_up, "model.layers.{}.feed_forward.shared_expert.up_proj",
                          "blk.{}.ffn_up_shexp"},
                         {shared_down, "model.layers.{}.feed_forward.shared_expert.down_proj",
                          "blk.{}.ffn_down_shexp"}}),
        .keys =
            with(usual_keys({.longest = "131072",
                             .bos = "1",
                             .eos = "2",
                             .theta = "500000.0",
                             .epsilon = "1e-5"}),
                 {{vocab_size, "vocab_size", "vocab_size", "202048"},
                  {hidden_size, "hidden_size", "embedding_length", "5120"},
                  {intermediate_size, "intermediate_size", "expert_feed_forward_length", "8192"},
                  {dense_width, "intermediate_size_mlp", "feed_forward_length", "16384"},
                  {layers, "num_hidden_layers", "block_count", "48"},
                  {heads, "num_attention_heads", "attention.head_count", "40"},
                  {kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                  {head_dim, "head_dim", "attention.key_length", "128"},
                  {layer_types, "layer_types"},
                  {chunk_size, "attention_chunk_size", nullptr, "8192"},
                  {no_rope_layers, "no_rope_layers"},
                  {no_rope_interval, "no_rope_layer_interval", nullptr, "4"},
                  {use_head_norm, "use_qk_norm", nullptr, "true"},
                  {query_growth_on, "attn_temperature_tuning", nullptr, "true"},
                  {query_growth, "attn_scale", nullptr, "0.1"},
                  {query_period, "floor_scale", nullptr, "8192"},
                  {experts, "num_local_experts", "expert_count", "16"},
                  {active_experts, "num_experts_per_tok", "expert_used_count", "1"},
                  {shared_experts, "n_shared_experts", nullptr, "1"},
                  {sparse_step, "interleave_moe_layer_step", "interleave_moe_layer_step", "1"},
                  {sparse_layers, "moe_layers"},
                  {attention_bias, "attention_bias", nullptr, "false"}}),
        .ignored_keys = ignored({"for_llm_compressor"})};
}

}  // namespace

std::vector<Family> mixture_rows() {
    return {mixtral(),      qwen2_moe(),  qwen3_moe(),   olmoe(),   granitemoe(), glm4_moe(),
            ernie4_5_moe(), minimax_m2(), hunyuan_moe(), gpt_oss(), llama4()};
}

}  // namespace vq::rows
