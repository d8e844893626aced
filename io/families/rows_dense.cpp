// SPDX-License-Identifier: Apache-2.0
// Families close to Llama: an RMS norm before mixer and MLP, a gated MLP of silu.
#include "io/families/rows.h"

namespace vq::rows {
namespace {

using enum Setting;

// Of Llama: pretraining_tp splits products without changing their sums.
const std::vector<std::string_view> llama_ignored = {"pretraining_tp", "is_llama_config"};

Family llama() {
    return {.model_type = "llama",
            .hf_class = "LlamaForCausalLM",
            .gguf = {.architecture = "llama",
                     .interleaved_pairs = true,
                     .name_with_windows = "mistral"},
            .tensors = usual_names(Bias::if_configured, Bias::if_configured, Bias::if_mlp),
            .keys = with(llama_keys({.bos = "1", .eos = "2"}),
                         {{fixed, "rope_interleaved", nullptr, "false"}}),
            .ignored_keys = llama_ignored};
}

Family arcee() {
    Family family = llama();
    family.model_type = "arcee";
    family.hf_class = "ArceeForCausalLM";
    family.features.plain_mlp = true;
    family.gguf = {.architecture = "arcee", .interleaved_pairs = true};
    family.tensors = without(family.tensors, {TensorRole::gate});
    family.keys =
        with(llama_keys({.longest = "4096", .bos = "128000", .eos = "128001", .epsilon = "1e-5"}),
             {{activation, "hidden_act", nullptr, R"("relu2")"}});
    family.ignored_keys = {};
    return family;
}

Family mistral(const char* type, const char* hf_class) {
    return {.model_type = type,
            .hf_class = hf_class,
            .features = {.layers = LayerPattern::windows},
            .gguf = {.architecture = "llama", .interleaved_pairs = true},
            .tensors = usual_names(),
            .keys = with(usual_keys({.longest = "131072", .bos = "1", .eos = "2"}),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                          {sliding_window, "sliding_window", "attention.sliding_window", "4096"}})};
}

Family ministral3() {
    Family family = mistral("ministral3", "Ministral3ForCausalLM");
    family.features.growing_queries = true;
    family.gguf.architecture = "mistral3";
    family.keys =
        with(family.keys, {{sliding_window, "sliding_window", "attention.sliding_window"}});
    return family;
}

Family qwen2() {
    return {.model_type = "qwen2",
            .hf_class = "Qwen2ForCausalLM",
            .features = {.layers = LayerPattern::windows_from},
            .gguf = {.architecture = "qwen2", .note = no_windows_note},
            .tensors = usual_names(Bias::always),
            .keys = with(with_switched_windows(usual_keys({.longest = "32768"})),
                         {{fixed, "mlp_bias", nullptr, "false"},
                          {partial_rotary, "partial_rotary_factor", nullptr, "1.0"},
                          {fixed, "use_mrope", nullptr, "false"}}),
            .ignored_keys = {"attention_bias"}};  // biases of q, k and v are always there
}

Family qwen3() {
    return {.model_type = "qwen3",
            .hf_class = "Qwen3ForCausalLM",
            .features = {.head_norm = HeadNorm::each_head, .layers = LayerPattern::windows_from},
            .gguf = {.architecture = "qwen3"},
            .tensors = head_norm_names(Bias::if_configured, Bias::if_configured),
            .keys = with(with_switched_windows(usual_keys({.longest = "32768"})),
                         {{head_dim, "head_dim", "attention.key_length", "128"},
                          {attention_bias, "attention_bias", nullptr, "false"}})};
}

Family seed_oss() {
    return {.model_type = "seed_oss",
            .hf_class = "SeedOssForCausalLM",
            .gguf = {.architecture = "seed_oss"},
            .tensors = with(usual_names(Bias::if_configured, Bias::if_out_configured, Bias::if_mlp),
                            {{TensorRole::mlp_norm, "model.layers.{}.post_attention_layernorm",
                              "blk.{}.post_attention_norm"}}),
            .keys = with(llama_keys({.longest = "524288", .bos = "0", .eos = "2"}),
                         {{head_dim, "head_dim", "attention.key_length", "128"},
                          {kv_heads, "num_key_value_heads", "attention.head_count_kv", "8"},
                          {attention_bias, "attention_bias", nullptr, "true"},
                          {attention_out_bias, "attention_out_bias", nullptr, "false"}}),
            .ignored_keys = {"pretraining_tp", "residual_dropout"}};
}

Family smollm3() {
    return {.model_type = "smollm3",
            .hf_class = "SmolLM3ForCausalLM",
            .features = {.layers = LayerPattern::windows_unturned, .turning = Turning::listed},
            .gguf = {.architecture = "smollm3", .interleaved_pairs = true},
            .tensors = usual_names(Bias::if_configured, Bias::if_configured, Bias::if_mlp),
            .keys = with(llama_keys({.longest = "32768",
                                     .bos = "128000",
                                     .eos = "128001",
                                     .theta = "2000000.0",
                                     .tied = "true"}),
                         {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"},
                          {sliding_window, "sliding_window", "attention.sliding_window"},
                          {use_window, "use_sliding_window", nullptr, "false"},
                          {layer_types, "layer_types"},
                          {no_rope_layers, "no_rope_layers"},
                          {no_rope_interval, "no_rope_layer_interval", nullptr, "4"}}),
            .ignored_keys = {"pretraining_tp", "max_window_layers"}};
}

// Files of either architecture carry the state spaces' sizes though no block has one.
const std::vector<std::string_view> state_space_sizes = {"ssm.conv_kernel", "ssm.state_size",
                                                         "ssm.group_count", "ssm.time_step_rank"};

Family granite() {
    return {.model_type = "granite",
            .hf_class = "GraniteForCausalLM",
            .gguf = {.architecture = "granite",
                     .interleaved_pairs = true,
                     .ignored_keys = state_space_sizes},
            .tensors = usual_names(Bias::if_configured, Bias::if_configured, Bias::if_mlp),
            .keys = with_granite_scalars(llama_keys({.bos = "1", .eos = "2"}))};
}

/// Granite 4 without mixtures and state spaces.
Family granite4() {
    using enum TensorRole;
    return {
        .model_type = "granitemoehybrid",
        .hf_class = "GraniteMoeHybridForCausalLM",
        .features = {.turning = Turning::if_configured},
        .gguf = {.architecture = "granitehybrid",
                 .interleaved_pairs = true,
                 .ignored_keys = state_space_sizes},
        .tensors = with(
            without(usual_names(Bias::if_configured, Bias::if_configured), {gate, up}),
            {{gate_up, "model.layers.{}.shared_mlp.input_linear", "blk.{}.ffn_gate|blk.{}.ffn_up"},
             {down, "model.layers.{}.shared_mlp.output_linear", "blk.{}.ffn_down"}}),
        .keys =
            with(with_granite_scalars(llama_keys({.bos = "1", .eos = "2"})),
                 {{intermediate_size, "shared_intermediate_size", "feed_forward_length", "1024"},
                  {layer_types, "layer_types"},
                  {position_kind, "position_embedding_type"},
                  {fixed, "mlp_bias", nullptr, "false"},
                  {fixed, "num_local_experts", nullptr, "0"},
                  {fixed, "num_experts_per_tok", nullptr, "0"}}),
        .ignored_keys = {"intermediate_size", "mamba_chunk_size", "mamba_conv_bias", "mamba_d_conv",
                         "mamba_d_head", "mamba_d_state", "mamba_expand", "mamba_n_groups",
                         "mamba_n_heads", "mamba_proj_bias", "time_step_limit", "time_step_min",
                         "time_step_max", "output_router_logits", "router_aux_loss_coef",
                         "init_method", "normalization_function"}};
}

Family phi3() {
    using enum TensorRole;
    return {
        .model_type = "phi3",
        .hf_class = "Phi3ForCausalLM",
        .features = {.layers = LayerPattern::windows},
        .gguf = {.architecture = "phi3"},
        .tensors = with(without(usual_names(), {query, key, value, gate, up}),
                        {{query_key_value, "model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv"},
                         {gate_up, "model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"}}),
        .keys = with(
            without(usual_keys({.longest = "4096", .bos = "1", .eos = "32000", .epsilon = "1e-5"}),
                    {Setting::head_dim}),
            {{partial_rotary, "partial_rotary_factor", nullptr, "1.0"},
             {original_max_position, "original_max_position_embeddings", nullptr, "4096"},
             {sliding_window, "sliding_window", "attention.sliding_window"},
             {fixed, "attention_bias", nullptr, "false"},
             {fixed, "mlp_bias", nullptr, "false"},
             {fixed, "full_attn_mod", nullptr, "1"},
             {fixed, "interpolate_factor", nullptr, "1"},
             {fixed, "lm_head_bias", nullptr, "false"}}),
        .ignored_keys = {"auto_map"}};
}

Family glm4() {
    using enum TensorRole;
    return {.model_type = "glm4",
            .hf_class = "Glm4ForCausalLM",
            .features = {.rope_interleaved = true},
            .gguf = {.architecture = "glm4"},
            .tensors = with(
                without(usual_names(Bias::if_configured), {gate, up}),
                {{attention_post_norm, "model.layers.{}.post_self_attn_layernorm",
                  "blk.{}.post_attention_norm"},
                 {gate_up, "model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"},
                 {mlp_post_norm, "model.layers.{}.post_mlp_layernorm", "blk.{}.post_ffw_norm"}}),
            .keys = with(usual_keys({.longest = "131072", .epsilon = "1.5625e-7"}),
                         {{head_dim, "head_dim", "attention.key_length", "128"},
                          {kv_heads, "num_key_value_heads", "attention.head_count_kv", "2"},
                          {partial_rotary, "partial_rotary_factor", nullptr, "0.5"},
                          {attention_bias, "attention_bias", nullptr, "false"}})};
}

Family ernie4_5() {
    return {.model_type = "ernie4_5",
            .hf_class = "Ernie4_5ForCausalLM",
            .features = {.rope_interleaved = true},
            .gguf = {.architecture = "ernie4_5", .interleaved_pairs = false},
            .tensors = usual_names(Bias::if_configured, Bias::if_configured, Bias::if_configured),
            .keys = with(usual_keys({.longest = "131072",
                                     .bos = "1",
                                     .eos = "2",
                                     .theta = "500000.0",
                                     .epsilon = "1e-5",
                                     .tied = "true"}),
                         {{head_dim, "head_dim", "attention.key_length", "128"},
                          {kv_heads, "num_key_value_heads", "attention.head_count_kv", "2"},
                          {attention_bias, "use_bias", nullptr, "false"}})};
}

Family hunyuan() {
    using enum TensorRole;
    return {.model_type = "hunyuan_v1_dense",
            .hf_class = "HunYuanDenseV1ForCausalLM",
            .features = {.head_norm = HeadNorm::after_rope},
            .gguf = {.architecture = "hunyuan-dense"},
            .tensors = with(
                usual_names(Bias::if_configured, Bias::if_configured),
                {{query_norm, "model.layers.{}.self_attn.query_layernorm", "blk.{}.attn_q_norm"},
                 {key_norm, "model.layers.{}.self_attn.key_layernorm", "blk.{}.attn_k_norm"}}),
            .keys = with(usual_keys({.bos = "1", .eos = "2", .epsilon = "1e-5"}),
                         {{Setting::attention_bias, "attention_bias", nullptr, "false"},
                          {fixed, "mlp_bias", nullptr, "false"},
                          {fixed, "use_qk_norm", nullptr, "true"},
                          {fixed, "use_cla", nullptr, "false"}}),
            .ignored_keys = {"pretraining_tp", "eod_token_id", "org_vocab_size",
                             "use_rotary_pos_emb", "attention_head_dim", "cla_share_factor",
                             "norm_type", "pad_id", "im_start_id", "im_end_id", "mask_init_id",
                             "text_start_id", "text_end_id"}};
}

}  // namespace

std::vector<Family> dense_rows() {
    return {llama(),      arcee(),   mistral("mistral", "MistralForCausalLM"),
            ministral3(), qwen2(),   qwen3(),
            seed_oss(),   smollm3(), granite(),
            granite4(),   phi3(),    glm4(),
            ernie4_5(),   hunyuan()};
}

}  // namespace vq::rows
