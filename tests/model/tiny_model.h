// SPDX-License-Identifier: Apache-2.0
// A small random model in memory, and a plain double-precision reference to check the runtime with.
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
#include "model/ops/rope.h"

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
        source.tensors[tensor.name + ".weight"] =
            random_matrix(tensor.rows, tensor.cols, scale, ++seed);
    };
    const auto vector = [&](const std::string& name, Index n, double centre, double spread) {
        source.tensors[name] =
            (random_matrix(1, n, spread, ++seed).array() + static_cast<float>(centre)).matrix();
    };
    source.tensors[config.embedding.name + ".weight"] =
        random_matrix(config.vocab_size, config.hidden_size, 1.0, ++seed);
    for (const LayerConfig& layer : config.layers) {
        for (const ModelTensor& t : layer.tensors)
            if (is_vector(t.role)) vector(t.weight(), t.cols, 1.0, 0.2);
        for (const ModelTensor& t : layer.tensors)
            if (!is_vector(t.role)) weight(t);
        for (const ModelTensor& t : layer.tensors)
            if (t.bias) vector(t.name + ".bias", t.rows, 0.0, 0.3);
    }
    vector(config.final_norm.name + ".weight", config.hidden_size, 1.0, 0.2);
    if (!config.tie_embeddings) weight(config.head);
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

/// Everything that a straightforward forward pass sees, in double.
struct Reference {
    MatrixD logits;                                 ///< (tokens, vocab)
    std::vector<std::vector<MatrixD>> group_input;  ///< [layer][qkv, o, gate/up, down]
};

inline MatrixD reference_norm(const MatrixD& x, const Matrix& weight, double eps) {
    MatrixD out = x;
    for (Index t = 0; t < x.rows(); ++t) {
        const double scale =
            1.0 / std::sqrt(x.row(t).squaredNorm() / static_cast<double>(x.cols()) + eps);
        out.row(t) = (x.row(t) * scale).cwiseProduct(weight.row(0).cast<double>());
    }
    return out;
}

inline void reference_rope(MatrixD& x, Index heads, Index dim,
                           const std::vector<float>& frequency) {
    for (Index t = 0; t < x.rows(); ++t)
        for (Index h = 0; h < heads; ++h)
            for (Index i = 0; i < dim / 2; ++i) {
                const double angle = static_cast<double>(t) *
                                     static_cast<double>(frequency[static_cast<std::size_t>(i)]);
                double& a = x(t, h * dim + i);
                double& b = x(t, h * dim + i + dim / 2);
                const double a0 = a;
                a = a0 * std::cos(angle) - b * std::sin(angle);
                b = b * std::cos(angle) + a0 * std::sin(angle);
            }
}

inline Reference reference_forward(const MemorySource& source, const std::vector<TokenId>& tokens) {
    const ModelConfig& c = source.model;
    const auto count = static_cast<Index>(tokens.size());
    const auto tensor = [&](const std::string& name) {
        return source.read(name).cast<double>().eval();
    };
    const auto product = [&](const MatrixD& x, const std::string& part) {
        MatrixD y = x * tensor(part + ".weight").transpose();
        if (source.has(part + ".bias")) y.rowwise() += tensor(part + ".bias").row(0);
        return y;
    };
    const std::vector<float> frequency = rope_frequencies(c.ropes.front(), count);
    Reference out;
    MatrixD stream(count, c.hidden_size);
    const MatrixD embedding = tensor(c.embedding.name + ".weight");
    for (Index t = 0; t < count; ++t)
        stream.row(t) = embedding.row(tokens[static_cast<std::size_t>(t)]);
    for (const LayerConfig& layer : c.layers) {
        const auto named = [&](TensorRole role) { return layer.tensor(role).name; };
        const Index head_dim = layer.attention.head_dim;
        std::vector<MatrixD> inputs;
        MatrixD x = reference_norm(
            stream, source.read(named(TensorRole::attention_norm) + ".weight"), c.norm_eps);
        inputs.push_back(x);
        MatrixD q = product(x, named(TensorRole::query));
        MatrixD k = product(x, named(TensorRole::key));
        const MatrixD v = product(x, named(TensorRole::value));
        reference_rope(q, layer.attention.n_heads, head_dim, frequency);
        reference_rope(k, layer.attention.n_kv_heads, head_dim, frequency);
        MatrixD a = MatrixD::Zero(count, layer.attention.n_heads * head_dim);
        for (Index h = 0; h < layer.attention.n_heads; ++h) {
            const Index kv = h / (layer.attention.n_heads / layer.attention.n_kv_heads) * head_dim;
            for (Index t = 0; t < count; ++t) {
                std::vector<double> score(static_cast<std::size_t>(t) + 1);
                double sum = 0;
                for (Index s = 0; s <= t; ++s) {
                    const double dot = q.row(t)
                                           .segment(h * head_dim, head_dim)
                                           .dot(k.row(s).segment(kv, head_dim));
                    score[static_cast<std::size_t>(s)] =
                        std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
                    sum += score[static_cast<std::size_t>(s)];
                }
                for (Index s = 0; s <= t; ++s)
                    a.row(t).segment(h * head_dim, head_dim) +=
                        score[static_cast<std::size_t>(s)] / sum * v.row(s).segment(kv, head_dim);
            }
        }
        inputs.push_back(a);
        stream += product(a, named(TensorRole::attention_out));
        x = reference_norm(stream, source.read(named(TensorRole::mlp_norm) + ".weight"),
                           c.norm_eps);
        inputs.push_back(x);
        const MatrixD gate = product(x, named(TensorRole::gate));
        const MatrixD inside = (gate.array() / (1.0 + (-gate.array()).exp()))
                                   .matrix()
                                   .cwiseProduct(product(x, named(TensorRole::up)));
        inputs.push_back(inside);
        stream += product(inside, named(TensorRole::down));
        out.group_input.push_back(std::move(inputs));
    }
    const MatrixD x =
        reference_norm(stream, source.read(c.final_norm.name + ".weight"), c.norm_eps);
    out.logits = x * tensor(c.output().name + ".weight").transpose();
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
