// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoints/checkpoint.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "base/error.h"
#include "io/checkpoints/gguf.h"

namespace vq {

std::vector<std::pair<std::string, TensorShape>> expected_tensors(const ModelConfig& config) {
    const Index hidden = config.hidden_size;
    const Index query = config.n_heads * config.head_dim;
    const Index key = config.n_kv_heads * config.head_dim;
    const Index middle = config.intermediate_size;
    std::vector<std::pair<std::string, TensorShape>> list;
    list.push_back({"model.embed_tokens.weight", {config.vocab_size, hidden}});
    for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
        const std::string prefix = fmt::format("model.layers.{}.", layer);
        const auto linear = [&](const char* name, Index rows, Index cols, bool bias) {
            list.push_back({prefix + name + ".weight", {rows, cols}});
            if (bias) list.push_back({prefix + name + ".bias", {1, rows}});
        };
        list.push_back({prefix + "input_layernorm.weight", {1, hidden}});
        linear("self_attn.q_proj", query, hidden, config.attention_bias);
        linear("self_attn.k_proj", key, hidden, config.attention_bias);
        linear("self_attn.v_proj", key, hidden, config.attention_bias);
        linear("self_attn.o_proj", hidden, query, config.attention_output_bias);
        list.push_back({prefix + "post_attention_layernorm.weight", {1, hidden}});
        linear("mlp.gate_proj", middle, hidden, false);
        linear("mlp.up_proj", middle, hidden, false);
        linear("mlp.down_proj", hidden, middle, false);
    }
    list.push_back({"model.norm.weight", {1, hidden}});
    if (!config.tie_embeddings) list.push_back({"lm_head.weight", {config.vocab_size, hidden}});
    return list;
}

void check_model_tensors(const WeightSource& source, const std::string& where) {
    const ModelConfig& config = source.config();
    if (config.architecture != "llama" && config.architecture != "qwen2")
        throw Error("architecture \"" + config.architecture + "\" is not supported", where,
                    "use a model of the architecture llama or qwen2");
    std::unordered_set<std::string> expected;
    for (const auto& [name, shape] : expected_tensors(config)) {
        expected.insert(name);
        if (!source.has(name))
            throw Error("tensor is missing", fmt::format("{}: {}", where, name),
                        "check that the checkpoint is complete and its configuration is its own");
        const TensorShape found = source.shape(name);
        if (found.rows != shape.rows || found.cols != shape.cols)
            throw Error(fmt::format("tensor is {} x {}, the configuration calls for {} x {}",
                                    found.rows, found.cols, shape.rows, shape.cols),
                        fmt::format("{}: {}", where, name),
                        "check that configuration and weights belong together");
    }
    // A tensor that the runtime would not use means another model than the configuration says.
    for (const std::string& name : source.names())
        if (expected.count(name) == 0)
            throw Error(fmt::format("tensor is not part of a {} model with this configuration",
                                    config.architecture),
                        fmt::format("{}: {}", where, name),
                        "check that configuration and weights belong together");
}

void check_finite(const Matrix& values, const std::string& where) {
    const float* data = values.data();
    const Index count = values.size();
    constexpr Index chunk = 4096;
    for (Index begin = 0; begin < count; begin += chunk) {
        const Index end = std::min(begin + chunk, count);
        // x - x is 0 for finite x and NaN otherwise: one branch a chunk.
        float sum = 0;
        for (Index i = begin; i < end; ++i) sum += data[i] - data[i];
        if (sum == 0) continue;
        for (Index i = begin; i < end; ++i) {
            if (std::isfinite(data[i])) continue;
            throw Error(fmt::format("weight at row {}, column {} is {}", i / values.cols(),
                                    i % values.cols(), data[i]),
                        where, "the checkpoint is damaged: get it again");
        }
    }
}

std::unique_ptr<WeightSource> open_checkpoint(const std::string& path) {
    std::error_code code;
    if (std::filesystem::is_directory(path, code)) return open_hf_folder(path);
    const MappedFile probe(path);  // says what is wrong with the path itself
    if (is_gguf(path)) return open_gguf(path);
    throw Error("is not a checkpoint", path,
                "give a folder with config.json and safetensors, or a GGUF file");
}

}  // namespace vq
