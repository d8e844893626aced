// SPDX-License-Identifier: Apache-2.0
// Hyper-parameters of a Llama-family model, from config.json (transformers 4 and 5 spellings) or
// from GGUF metadata.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vq {

/// Rotary position scaling. `llama3` as in the Llama 3.1 configuration; `linear` divides positions.
struct RopeScaling {
    enum class Type { none, linear, llama3 } type = Type::none;
    double factor = 1.0;
    double low_freq_factor = 1.0;
    double high_freq_factor = 4.0;
    std::int64_t original_max_position = 8192;
};

struct ModelConfig {
    std::string architecture;  ///< "llama" or "qwen2"
    std::int64_t vocab_size = 0;
    std::int64_t hidden_size = 0;
    std::int64_t intermediate_size = 0;
    std::int64_t n_layers = 0;
    std::int64_t n_heads = 0;
    std::int64_t n_kv_heads = 0;
    std::int64_t head_dim = 0;  ///< may differ from hidden_size / n_heads
    std::int64_t max_position = 0;
    double rms_norm_eps = 1e-5;
    double rope_theta = 10000.0;
    RopeScaling rope_scaling;
    bool tie_embeddings = false;
    bool attention_bias = false;         ///< q, k, v have a bias (always so in qwen2)
    bool attention_output_bias = false;  ///< o_proj has one too (llama with attention_bias)
    std::vector<std::int64_t> bos_ids;   ///< empty when the model has none
    std::vector<std::int64_t> eos_ids;
    std::string hf_json;  ///< config.json verbatim, or synthesised from GGUF metadata
};

/// Parses and checks config.json. `where` names the file in errors. Throws Error on an unknown
/// architecture, a missing or absurd number, an unsupported activation or rope type.
ModelConfig parse_hf_config(std::string_view json_text, const std::string& where);

}  // namespace vq
