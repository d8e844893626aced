// SPDX-License-Identifier: Apache-2.0
// The table itself. A family is one entry of `rows`; names and keys that families share stand above
// it once.
#include <algorithm>
#include <array>

#include "io/families/family.h"

namespace vq {
namespace {

/// The names that Llama gave and most families took over.
constexpr std::array<TensorNames, 12> usual_tensors(Bias qkv, Bias out) {
    using enum TensorRole;
    return {{
        {embedding, "model.embed_tokens", "token_embd"},
        {attention_norm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
        {query, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", qkv},
        {key, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", qkv},
        {value, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v", qkv},
        {attention_out, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output", out},
        {mlp_norm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
        {gate, "model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
        {up, "model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
        {down, "model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
        {final_norm, "model.norm", "output_norm"},
        {head, "lm_head", "output"},
    }};
}

constexpr auto llama_tensors = usual_tensors(Bias::if_configured, Bias::if_configured);
constexpr auto qwen2_tensors = usual_tensors(Bias::always, Bias::never);

/// What nearly every configuration says. Fallbacks are what transformers assumes for keys that
/// config.json leaves out; `own` stands where the family says something of its own.
constexpr std::array<ConfigKey, 18> usual_keys(const char* longest, const char* bos,
                                               const char* eos, ConfigKey own) {
    using enum Setting;
    return {{
        {activation, "hidden_act", nullptr, R"("silu")"},
        {vocab_size, "vocab_size", "vocab_size"},
        {hidden_size, "hidden_size", "embedding_length"},
        {intermediate_size, "intermediate_size", "feed_forward_length"},
        {layers, "num_hidden_layers", "block_count"},
        {heads, "num_attention_heads", "attention.head_count"},
        {kv_heads, "num_key_value_heads", "attention.head_count_kv"},
        {head_dim, "head_dim", "attention.key_length"},
        {max_position, "max_position_embeddings", "context_length", longest},
        {norm_epsilon, "rms_norm_eps", "attention.layer_norm_rms_epsilon", "1e-6"},
        {rope_theta, "rope_theta", "rope.freq_base", "10000.0"},
        {rope_scaling, "rope_scaling"},
        {rope_parameters, "rope_parameters"},
        {original_max_position, "original_max_position_embeddings"},
        {tie_embeddings, "tie_word_embeddings", nullptr, "false"},
        own,
        {bos_ids, "bos_token_id", nullptr, bos},
        {eos_ids, "eos_token_id", nullptr, eos},
    }};
}

template <class T, std::size_t N, std::size_t M>
constexpr std::array<T, N + M> joined(const std::array<T, N>& a, const std::array<T, M>& b) {
    std::array<T, N + M> all{};
    std::copy(a.begin(), a.end(), all.begin());
    std::copy(b.begin(), b.end(), all.begin() + N);
    return all;
}

constexpr auto llama_keys = joined(
    usual_keys("2048", "1", "2", {Setting::attention_bias, "attention_bias", nullptr, "false"}),
    std::array<ConfigKey, 3>{{{Setting::fixed, "mlp_bias", nullptr, "false"},
                              {Setting::fixed, "partial_rotary_factor", nullptr, "1.0"},
                              {Setting::fixed, "rope_interleaved", nullptr, "false"}}});
// pretraining_tp splits products without changing their sums.
constexpr std::string_view llama_ignored[] = {"pretraining_tp", "is_llama_config"};

constexpr auto qwen2_keys =
    joined(usual_keys("32768", nullptr, nullptr,
                      {Setting::use_window, "use_sliding_window", nullptr, "false"}),
           std::array<ConfigKey, 4>{{{Setting::layer_types, "layer_types"},
                                     {Setting::fixed, "mlp_bias", nullptr, "false"},
                                     {Setting::fixed, "partial_rotary_factor", nullptr, "1.0"},
                                     {Setting::fixed, "use_mrope", nullptr, "false"}}});
// Windows are refused by the two keys that switch them on; biases of q, k and v are always there.
constexpr std::string_view qwen2_ignored[] = {"attention_bias", "max_window_layers",
                                              "sliding_window"};

constexpr Family rows[] = {
    {.model_type = "llama",
     .hf_class = "LlamaForCausalLM",
     .gguf_architecture = "llama",
     .gguf_interleaved_pairs = true,
     .tensors = llama_tensors,
     .keys = llama_keys,
     .ignored_keys = llama_ignored},
    {.model_type = "qwen2",
     .hf_class = "Qwen2ForCausalLM",
     .gguf_architecture = "qwen2",
     .tensors = qwen2_tensors,
     .keys = qwen2_keys,
     .ignored_keys = qwen2_ignored},
};

}  // namespace

std::span<const Family> families() {
    return rows;
}

}  // namespace vq
