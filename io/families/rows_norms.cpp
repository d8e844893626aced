// SPDX-License-Identifier: Apache-2.0
// Families whose norms are of another kind or stand at other places than Llama's.
#include "io/families/rows.h"

namespace vq::rows {
namespace {

using enum Setting;

// ---- 1 + w, before and after (Gemma) ------------------------------------------------------------

Keys gemma_keys() {
    return with(usual_keys({.longest = "8192", .bos = "2", .eos = "1", .tied = "true"}),
                {{activation, "hidden_activation", nullptr, R"("gelu_pytorch_tanh")"},
                 {head_dim, "head_dim", "attention.key_length", "256"},
                 {attention_bias, "attention_bias", nullptr, "false"},
                 {fixed, "use_bidirectional_attention", nullptr, "false"}});
}

Family gemma() {
    return {.model_type = "gemma",
            .hf_class = "GemmaForCausalLM",
            .features = {.norm = NormKind::rms_plus_one, .scaled_embedding = true},
            .gguf = {.architecture = "gemma", .folded_norms = true},
            .tensors = usual_names(Bias::if_configured, Bias::if_configured),
            .keys = gemma_keys(),
            // hidden_activation alone counts.
            .ignored_keys = {"hidden_act"}};
}

Family gemma2() {
    return {.model_type = "gemma2",
            .hf_class = "Gemma2ForCausalLM",
            .features = {.norm = NormKind::rms_plus_one,
                         .scaled_embedding = true,
                         .layers = LayerPattern::windows_but_nth,
                         .window_pattern = 2},
            .gguf = {.architecture = "gemma2", .folded_norms = true, .wide_query_layers = 46},
            .tensors = sandwich_norms(usual_names(Bias::if_configured, Bias::if_configured)),
            .keys = with(
                gemma_keys(),
                {{kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"},
                 {query_scalar, "query_pre_attn_scalar", nullptr, "256"},
                 {sliding_window, "sliding_window", "attention.sliding_window", "4096"},
                 {layer_types, "layer_types"},
                 {score_softcap, "attn_logit_softcapping", "attn_logit_softcapping", "50.0"},
                 {logit_softcap, "final_logit_softcapping", "final_logit_softcapping", "30.0"}}),
            .ignored_keys = {"hidden_act", "cache_implementation"}};
}

Family gemma3() {
    return {
        .model_type = "gemma3_text",
        .hf_class = "Gemma3ForCausalLM",
        .features = {.norm = NormKind::rms_plus_one,
                     .head_norm = HeadNorm::each_head,
                     .rope_by_layer_type = true,
                     .scaled_embedding = true,
                     .layers = LayerPattern::windows_but_nth,
                     .window_pattern = 6},
        .gguf = {.architecture = "gemma3", .folded_norms = true, .wide_query_layers = 62},
        .tensors = sandwich_norms(head_norm_names(Bias::if_configured, Bias::if_configured)),
        .keys = with(gemma_keys(),
                     {{vocab_size, "vocab_size", "vocab_size", "262208"},
                      {hidden_size, "hidden_size", "embedding_length", "2304"},
                      {intermediate_size, "intermediate_size", "feed_forward_length", "9216"},
                      {layers, "num_hidden_layers", "block_count", "26"},
                      {heads, "num_attention_heads", "attention.head_count", "8"},
                      {kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"},
                      {max_position, "max_position_embeddings", "context_length", "131072"},
                      {rope_theta, "rope_theta", "rope.freq_base", "1000000.0"},
                      {local_rope_theta, "rope_local_base_freq", "rope.freq_base_swa", "10000.0"},
                      {query_scalar, "query_pre_attn_scalar", nullptr, "256"},
                      {sliding_window, "sliding_window", "attention.sliding_window", "4096"},
                      {layer_types, "layer_types"},
                      {window_pattern, "sliding_window_pattern", nullptr, "6"},
                      {score_softcap, "attn_logit_softcapping", "attn_logit_softcapping"},
                      {logit_softcap, "final_logit_softcapping", "final_logit_softcapping"}}),
        .ignored_keys = {"_sliding_window_pattern", "hidden_act", "cache_implementation"}};
}

/// Beside Gemma 3's: mixtures beside MLPs, and what every block takes of a token.
Names gemma4_names() {
    using enum TensorRole;
    constexpr Bias all = Bias::if_configured;
    return with(
        sandwich_norms(head_norm_names(all, all)),
        {{layer_embedding, "model.embed_tokens_per_layer", "per_layer_token_embd"},
         {layer_projection, "model.per_layer_model_projection", "per_layer_model_proj"},
         {layer_projection_norm, "model.per_layer_projection_norm", "per_layer_proj_norm"},
         {mlp_own_post_norm, "model.layers.{}.post_feedforward_layernorm_1",
          "blk.{}.post_ffw_norm_1"},
         {expert_norm, "model.layers.{}.pre_feedforward_layernorm_2", "blk.{}.pre_ffw_norm_2"},
         {router, "model.layers.{}.router.proj", "blk.{}.ffn_gate_inp"},
         {.role = router_scale,
          .hf = "model.layers.{}.router.scale",
          .gguf = "blk.{}.ffn_gate_inp.scale",
          .bare = true},
         {.role = expert_scale,
          .hf = "model.layers.{}.router.per_expert_scale",
          .gguf = "blk.{}.ffn_down_exps.scale",
          .bare = true},
         {.role = expert_gate_up,
          .hf = "model.layers.{}.experts.gate_up_proj[{}]",
          .gguf = "blk.{}.ffn_gate_up_exps",
          .bare = true,
          .experts = ExpertLayout::stacked},
         {.role = expert_down,
          .hf = "model.layers.{}.experts.down_proj[{}]",
          .gguf = "blk.{}.ffn_down_exps",
          .bare = true,
          .experts = ExpertLayout::stacked},
         {expert_post_norm, "model.layers.{}.post_feedforward_layernorm_2",
          "blk.{}.post_ffw_norm_2"},
         {layer_input_gate, "model.layers.{}.per_layer_input_gate", "blk.{}.inp_gate"},
         {layer_input_out, "model.layers.{}.per_layer_projection", "blk.{}.proj"},
         {layer_input_norm, "model.layers.{}.post_per_layer_input_norm", "blk.{}.post_norm"},
         {.role = layer_scalar,
          .hf = "model.layers.{}.layer_scalar",
          .gguf = "blk.{}.layer_output_scale",
          .bare = true}});
}

Family gemma4() {
    return {.model_type = "gemma4_text",
            .hf_class = "Gemma4ForCausalLM",
            .features = {.head_norm = HeadNorm::each_head,
                         .rope_by_layer_type = true,
                         .scaled_embedding = true,
                         .value_norm = true,
                         .score_scale = 1,
                         .layers = LayerPattern::windows_but_nth,
                         .window_pattern = 6,
                         .ends_full = true,
                         .normalized = true},
            .gguf = {.architecture = "gemma4", .rope_by_type = true},
            .tensors = gemma4_names(),
            .keys = with(
                without(gemma_keys(), {rope_scaling, original_max_position}),
                {{vocab_size, "vocab_size", "vocab_size", "262144"},
                 {hidden_size, "hidden_size", "embedding_length", "2304"},
                 {intermediate_size, "intermediate_size", "feed_forward_length", "9216"},
                 {layers, "num_hidden_layers", "block_count", "30"},
                 {heads, "num_attention_heads", "attention.head_count", "8"},
                 {kv_heads, "num_key_value_heads", "attention.head_count_kv", "4"},
                 {head_dim, "head_dim", "attention.key_length_swa", "256"},
                 {full_head_dim, "global_head_dim", "attention.key_length", "512"},
                 {full_kv_heads, "num_global_key_value_heads"},
                 {layer_overrides, "per_layer_config"},
                 {keys_are_values, "attention_k_eq_v", nullptr, "false"},
                 {shared_key_layers, "num_kv_shared_layers", "attention.shared_kv_layers", "0"},
                 {double_wide, "use_double_wide_mlp", nullptr, "false"},
                 {layer_input_width, "hidden_size_per_layer_input",
                  "embedding_length_per_layer_input", "256"},
                 {layer_input_vocab, "vocab_size_per_layer_input", nullptr, "262144"},
                 {max_position, "max_position_embeddings", "context_length", "131072"},
                 {rope_theta, "rope_theta", "rope.freq_base", "1000000.0"},
                 {rope_parameters, "rope_parameters", nullptr,
                  R"({"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                  "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                                     "rope_theta": 1000000.0}})"},
                 {sliding_window, "sliding_window", "attention.sliding_window", "512"},
                 {layer_types, "layer_types"},
                 {logit_softcap, "final_logit_softcapping", "final_logit_softcapping"},
                 {mixture_on, "enable_moe_block", nullptr, "false"},
                 {experts, "num_experts", "expert_count"},
                 {active_experts, "top_k_experts", "expert_used_count"},
                 {expert_width, "moe_intermediate_size", "expert_feed_forward_length"},
                 // Among tokens of a picture; those of text see what comes before them.
                 {fixed, "use_bidirectional_attention", nullptr, R"("vision")"}}),
            .ignored_keys = {"hidden_act", "cache_implementation"}};
}

// ---- after mixer and MLP alone (OLMo 2) ---------------------------------------------------------

Family olmo2() {
    return {.model_type = "olmo2",
            .hf_class = "Olmo2ForCausalLM",
            .features = {.head_norm = HeadNorm::whole},
            .gguf = {.architecture = "olmo2"},
            .tensors = post_norms(head_norm_names(Bias::if_configured, Bias::if_configured)),
            .keys = with(without(usual_keys({.eos = "50279", .epsilon = "1e-5"}), {head_dim}),
                         {{attention_bias, "attention_bias", nullptr, "false"}})};
}

Family olmo3() {
    Family family = olmo2();
    family.model_type = "olmo3";
    family.hf_class = "Olmo3ForCausalLM";
    family.features.rope_by_layer_type = true;
    family.features.layers = LayerPattern::windows_but_nth;
    family.features.window_pattern = 4;
    family.keys =
        with(family.keys, {{sliding_window, "sliding_window", "attention.sliding_window", "4096"},
                           {layer_types, "layer_types"}});
    return family;
}

Family exaone4() {
    return {.model_type = "exaone4",
            .hf_class = "Exaone4ForCausalLM",
            .features = {.head_norm = HeadNorm::each_head,
                         .layers = LayerPattern::windows_but_nth,
                         .turning = Turning::with_window_if_any},
            .gguf = {.architecture = "exaone4"},
            .tensors = post_norms(head_norm_names()),
            .keys = with(usual_keys({.bos = "0", .eos = "2", .epsilon = "1e-5"}),
                         {{sliding_window, "sliding_window", "attention.sliding_window", "4096"},
                          {layer_types, "layer_types"}}),
            // The pattern says no more than layer_types, which writers always give.
            .ignored_keys = {"sliding_window_pattern"}};
}

// ---- LayerNorm ----------------------------------------------------------------------------------

Family cohere() {
    using enum TensorRole;
    return {
        .model_type = "cohere",
        .hf_class = "CohereForCausalLM",
        .features = {.norm = NormKind::layer,
                     .head_norm = HeadNorm::each_head_layer,
                     .rope_interleaved = true,
                     .parallel = true},
        .gguf = {.architecture = "command-r"},
        .tensors = without(head_norm_names(Bias::if_configured, Bias::if_configured), {mlp_norm}),
        .keys = with(
            without(usual_keys({.longest = "8192", .bos = "5", .eos = "255001", .tied = "true"}),
                    {Setting::head_dim}),
            {{norm_epsilon, "layer_norm_eps", "attention.layer_norm_epsilon", "1e-5"},
             {logit_multiplier, "logit_scale", "logit_scale", "0.0625"},
             {use_head_norm, "use_qk_norm", nullptr, "false"},
             {attention_bias, "attention_bias", nullptr, "false"}})};
}

Family cohere2() {
    using enum TensorRole;
    return {
        .model_type = "cohere2",
        .hf_class = "Cohere2ForCausalLM",
        .features = {.norm = NormKind::layer,
                     .rope_interleaved = true,
                     .parallel = true,
                     .layers = LayerPattern::windows_but_nth,
                     .window_pattern = 4,
                     .turning = Turning::with_window},
        .gguf = {.architecture = "cohere2"},
        .tensors = without(usual_names(Bias::if_configured, Bias::if_configured), {mlp_norm}),
        .keys = with(usual_keys({.longest = "8192", .bos = "5", .eos = "255001", .tied = "true"}),
                     {{norm_epsilon, "layer_norm_eps", "attention.layer_norm_epsilon", "1e-5"},
                      {logit_multiplier, "logit_scale", "logit_scale", "0.0625"},
                      {sliding_window, "sliding_window", "attention.sliding_window", "4096"},
                      {layer_types, "layer_types"},
                      {window_pattern, "sliding_window_pattern", nullptr, "4"},
                      {attention_bias, "attention_bias", nullptr, "false"},
                      {fixed, "use_qk_norm", nullptr, "false"},
                      {fixed, "rotary_pct", nullptr, "1.0"},
                      {fixed, "use_parallel_block", nullptr, "true"},
                      {fixed, "use_gated_activation", nullptr, "true"},
                      {fixed, "use_parallel_embedding", nullptr, "false"},
                      {fixed, "position_embedding_type", nullptr, R"("rope_gptj")"}}),
        .ignored_keys = {"cache_implementation", "order_of_interleaved_layers",
                         "_sliding_window_pattern", "layer_switch"}};
}

Family starcoder2() {
    using enum TensorRole;
    constexpr Bias all = Bias::if_configured;
    return {
        .model_type = "starcoder2",
        .hf_class = "Starcoder2ForCausalLM",
        .features = {.norm = NormKind::layer, .plain_mlp = true, .layers = LayerPattern::windows},
        .gguf = {.architecture = "starcoder2"},
        .tensors = with(
            without(usual_names(all, all, all), {gate}),
            {{attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm", Bias::always},
             {mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm",
              Bias::always},
             {up, "model.layers.{}.mlp.c_fc", "blk.{}.ffn_up", all},
             {down, "model.layers.{}.mlp.c_proj", "blk.{}.ffn_down", all},
             {final_norm, "model.norm", "output_norm", Bias::always}}),
        .keys = with(
            without(usual_keys({.longest = "4096", .bos = "50256", .eos = "50256", .tied = "true"}),
                    {Setting::head_dim}),
            {{activation, "hidden_act", nullptr, R"("gelu_pytorch_tanh")"},
             {kv_heads, "num_key_value_heads", "attention.head_count_kv", "2"},
             {norm_epsilon, "norm_epsilon", "attention.layer_norm_epsilon", "1e-5"},
             {sliding_window, "sliding_window", "attention.sliding_window"},
             {attention_bias, "use_bias", nullptr, "true"},
             {fixed, "mlp_type", nullptr, R"("default")"},
             {fixed, "norm_type", nullptr, R"("layer_norm")"}}),
        .ignored_keys = {"embedding_dropout", "residual_dropout"}};
}

Family nemotron() {
    using enum TensorRole;
    return {
        .model_type = "nemotron",
        .hf_class = "NemotronForCausalLM",
        .features = {.norm = NormKind::layer_plus_one, .plain_mlp = true},
        // The converter takes norm_eps for that of a root mean square too.
        .gguf = {.architecture = "nemotron",
                 .folded_norms = true,
                 .ignored_keys = {"attention.layer_norm_rms_epsilon"}},
        .tensors = with(
            without(usual_names(Bias::if_configured, Bias::if_configured, Bias::if_mlp), {gate}),
            {{attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm", Bias::always},
             {mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm",
              Bias::always},
             {final_norm, "model.norm", "output_norm", Bias::always}}),
        .keys = with(llama_keys({.longest = "4096", .bos = "2", .eos = "3"}),
                     {{activation, "hidden_act", nullptr, R"("relu2")"},
                      {norm_epsilon, "norm_eps", "attention.layer_norm_epsilon", "1e-5"},
                      {partial_rotary, "partial_rotary_factor", nullptr, "0.5"}}),
        .ignored_keys = {"rope_percent", "rope_percentage"}};
}

Family phi() {
    using enum TensorRole;
    return {
        .model_type = "phi",
        .hf_class = "PhiForCausalLM",
        .features = {.norm = NormKind::layer, .parallel = true, .plain_mlp = true},
        .gguf = {.architecture = "phi2"},
        .tensors = with(
            without(usual_names(Bias::always), {gate, mlp_norm}),
            {{attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm", Bias::always},
             {attention_out, "model.layers.{}.self_attn.dense", "blk.{}.attn_output", Bias::always},
             {up, "model.layers.{}.mlp.fc1", "blk.{}.ffn_up", Bias::always},
             {down, "model.layers.{}.mlp.fc2", "blk.{}.ffn_down", Bias::always},
             {final_norm, "model.final_layernorm", "output_norm", Bias::always},
             {head, "lm_head", "output", Bias::always}}),
        .keys = with(without(usual_keys({.bos = "1", .eos = "2"}), {Setting::head_dim}),
                     {{activation, "hidden_act", nullptr, R"("gelu_new")"},
                      {norm_epsilon, "layer_norm_eps", "attention.layer_norm_epsilon", "1e-5"},
                      {partial_rotary, "partial_rotary_factor", nullptr, "0.5"},
                      {fixed, "qk_layernorm", nullptr, "false"},
                      {fixed, "tie_word_embeddings", nullptr, "false"}})};
}

}  // namespace

std::vector<Family> gemma_rows() {
    return {gemma(), gemma2(), gemma3(), gemma4()};
}

std::vector<Family> norm_rows() {
    return {olmo2(), olmo3(), exaone4(), cohere(), cohere2(), starcoder2(), nemotron(), phi()};
}

}  // namespace vq::rows
