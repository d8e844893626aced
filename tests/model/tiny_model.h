// SPDX-License-Identifier: Apache-2.0
// A small random model in memory; tests/model/reference.h computes what it should.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "io/checkpoints/weight_source.h"
#include "io/tokenizers/tokenizer.h"

namespace vq::test {

/// A WeightSource whose tensors can be set at will.
class MemorySource : public WeightSource {
public:
    ModelConfig model;
    std::map<std::string, Matrix> tensors;

    const ModelConfig& config() const override { return model; }
    const TokenizerFiles& tokenizer_files() const override { return files_; }
    const std::vector<std::string>& names() const override {
        names_.clear();
        for (const auto& [name, tensor] : tensors) names_.push_back(name);
        return names_;
    }
    bool has(const std::string& name) const override { return tensors.contains(name); }
    TensorShape shape(const std::string& name) const override {
        const Matrix& m = at(name);
        return {m.rows(), m.cols()};
    }
    Matrix read(const std::string& name) const override { return at(name); }
    std::string content_hash() const override { return "memory"; }

private:
    const Matrix& at(const std::string& name) const {
        const auto it = tensors.find(name);
        if (it == tensors.end()) throw Error("no such tensor", name, "check the model");
        return it->second;
    }
    TokenizerFiles files_;
    mutable std::vector<std::string> names_;
};

inline Matrix random_matrix(Index rows, Index cols, double scale, std::uint64_t seed) {
    Matrix m(rows, cols);
    for (Index i = 0; i < m.size(); ++i)
        m.data()[i] =
            static_cast<float>(scale * random_normal(seed, static_cast<std::uint64_t>(i)));
    return m;
}

/// Fills in every tensor that `config` calls for; weights scaled so that activations stay near 1.
inline MemorySource random_model(const ModelConfig& config, std::uint64_t seed) {
    MemorySource source;
    source.model = config;
    const auto weight = [&](const ModelTensor& tensor) {
        const double scale = 1.5 / std::sqrt(static_cast<double>(tensor.cols));
        source.tensors[tensor.weight()] = random_matrix(tensor.rows, tensor.cols, scale, ++seed);
    };
    const auto vector = [&](const std::string& name, Index n, double centre, double spread) {
        source.tensors[name] =
            (random_matrix(1, n, spread, ++seed).array() + static_cast<float>(centre)).matrix();
    };
    // Weights of norms that act as 1 + w.
    const bool plus_one =
        config.norm == NormKind::rms_plus_one || config.norm == NormKind::layer_plus_one;
    const double centre = plus_one ? 0.15 : 1.0;
    source.tensors[config.embedding.name + ".weight"] =
        random_matrix(config.vocab_size, config.hidden_size, 1.0, ++seed);
    if (config.layer_inputs.width > 0) {
        weight(config.layer_inputs.embedding);
        weight(config.layer_inputs.projection);
        vector(config.layer_inputs.norm.weight(), config.layer_inputs.width, centre, 0.2);
    }
    for (const LayerConfig& layer : config.layers) {
        for (const ModelTensor& t : layer.tensors)
            if (is_vector(t.role)) vector(t.weight(), t.cols, centre, 0.2);
        for (const ModelTensor& t : layer.tensors)
            if (!is_vector(t.role)) weight(t);
        for (const ModelTensor& t : layer.tensors)
            if (t.bias) vector(t.name + ".bias", is_vector(t.role) ? t.cols : t.rows, 0.0, 0.3);
    }
    vector(config.final_norm.name + ".weight", config.hidden_size, centre, 0.2);
    if (config.final_norm.bias)
        vector(config.final_norm.name + ".bias", config.hidden_size, 0.0, 0.3);
    if (config.tie_embeddings) return source;
    weight(config.head);
    if (config.head.bias) vector(config.head.name + ".bias", config.vocab_size, 0.0, 0.3);
    return source;
}

/// GQA with three query heads a key head, head_dim unlike hidden / heads, tied embeddings.
/// `changes` are keys of config.json.
inline ModelConfig tiny_llama(const Json& changes = Json::object()) {
    Json json = {{"model_type", "llama"},
                 {"vocab_size", 700},  // more than one block of the head
                 {"hidden_size", 40},
                 {"intermediate_size", 72},
                 {"num_hidden_layers", 2},
                 {"num_attention_heads", 6},
                 {"num_key_value_heads", 2},
                 {"head_dim", 10},
                 {"max_position_embeddings", 512},
                 {"rms_norm_eps", 1e-5},
                 {"rope_theta", 10000.0},
                 {"tie_word_embeddings", true},
                 {"bos_token_id", nullptr},
                 {"eos_token_id", 2}};
    json.update(changes);
    return parse_hf_config(json.dump(), "tiny model");
}

/// Biases in q, k, v; a head of its own; one key head a query head.
inline ModelConfig tiny_qwen2(const Json& changes = Json::object()) {
    Json json = {
        {"model_type", "qwen2"},    {"vocab_size", 97},         {"hidden_size", 48},
        {"num_attention_heads", 4}, {"num_key_value_heads", 4}, {"head_dim", 12},
        {"rms_norm_eps", 1e-6},     {"rope_theta", 1000000.0},  {"tie_word_embeddings", false}};
    json.update(changes);
    return tiny_llama(json);
}

inline std::vector<TokenId> random_tokens(Index count, Index vocab, std::uint64_t seed) {
    std::vector<TokenId> out;
    for (Index i = 0; i < count; ++i)
        out.push_back(static_cast<TokenId>(random_bits(seed, static_cast<std::uint64_t>(i)) %
                                           static_cast<std::uint64_t>(vocab)));
    return out;
}

using Threads = ThreadScope;

/// One token a byte.
class ByteTokenizer : public Tokenizer {
public:
    std::vector<TokenId> encode(std::string_view text, bool) const override {
        std::vector<TokenId> ids;
        for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
        return ids;
    }
    std::string decode(std::span<const TokenId> ids, bool) const override {
        std::string text;
        for (const TokenId id : ids) text += static_cast<char>(static_cast<unsigned char>(id));
        return text;
    }
    std::int64_t vocab_size() const override { return 256; }
    TokenId id_of(std::string_view token) const override {
        return token.size() == 1 ? static_cast<unsigned char>(token.front()) : -1;
    }
};

}  // namespace vq::test
