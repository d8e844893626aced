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
#include "base/parallel.h"
#include "base/rng.h"
#include "io/checkpoints/weight_source.h"
#include "io/tokenizers/tokenizer.h"
#include "model/rope.h"

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
    const Index hidden = config.hidden_size;
    const Index q = config.n_heads * config.head_dim;
    const Index kv = config.n_kv_heads * config.head_dim;
    const auto weight = [&](const std::string& name, Index rows, Index cols) {
        source.tensors[name] =
            random_matrix(rows, cols, 1.5 / std::sqrt(static_cast<double>(cols)), ++seed);
    };
    const auto vector = [&](const std::string& name, Index n, double centre, double spread) {
        source.tensors[name] =
            (random_matrix(1, n, spread, ++seed).array() + static_cast<float>(centre)).matrix();
    };
    source.tensors["model.embed_tokens.weight"] =
        random_matrix(config.vocab_size, hidden, 1.0, ++seed);
    for (Index l = 0; l < config.n_layers; ++l) {
        const std::string p = "model.layers." + std::to_string(l) + ".";
        vector(p + "input_layernorm.weight", hidden, 1.0, 0.2);
        vector(p + "post_attention_layernorm.weight", hidden, 1.0, 0.2);
        weight(p + "self_attn.q_proj.weight", q, hidden);
        weight(p + "self_attn.k_proj.weight", kv, hidden);
        weight(p + "self_attn.v_proj.weight", kv, hidden);
        weight(p + "self_attn.o_proj.weight", hidden, q);
        weight(p + "mlp.gate_proj.weight", config.intermediate_size, hidden);
        weight(p + "mlp.up_proj.weight", config.intermediate_size, hidden);
        weight(p + "mlp.down_proj.weight", hidden, config.intermediate_size);
        if (config.attention_bias) {
            vector(p + "self_attn.q_proj.bias", q, 0.0, 0.3);
            vector(p + "self_attn.k_proj.bias", kv, 0.0, 0.3);
            vector(p + "self_attn.v_proj.bias", kv, 0.0, 0.3);
        }
        if (config.attention_output_bias) vector(p + "self_attn.o_proj.bias", hidden, 0.0, 0.3);
    }
    vector("model.norm.weight", hidden, 1.0, 0.2);
    if (!config.tie_embeddings) weight("lm_head.weight", config.vocab_size, hidden);
    return source;
}

/// GQA with three query heads a key head, head_dim unlike hidden / heads, tied embeddings.
inline ModelConfig tiny_llama() {
    ModelConfig c;
    c.architecture = "llama";
    c.vocab_size = 700;  // more than one block of the head
    c.hidden_size = 40;
    c.intermediate_size = 72;
    c.n_layers = 2;
    c.n_heads = 6;
    c.n_kv_heads = 2;
    c.head_dim = 10;
    c.max_position = 512;
    c.rms_norm_eps = 1e-5;
    c.rope_theta = 10000.0;
    c.tie_embeddings = true;
    c.eos_ids = {2};
    return c;
}

/// Biases in q, k, v; a head of its own; one key head a query head.
inline ModelConfig tiny_qwen2() {
    ModelConfig c = tiny_llama();
    c.architecture = "qwen2";
    c.vocab_size = 97;
    c.hidden_size = 48;
    c.n_heads = 4;
    c.n_kv_heads = 4;
    c.head_dim = 12;
    c.rms_norm_eps = 1e-6;
    c.rope_theta = 1000000.0;
    c.tie_embeddings = false;
    c.attention_bias = true;
    return c;
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
    const std::vector<float> frequency = rope_frequencies(c);
    Reference out;
    MatrixD stream(count, c.hidden_size);
    const MatrixD embedding = tensor("model.embed_tokens.weight");
    for (Index t = 0; t < count; ++t)
        stream.row(t) = embedding.row(tokens[static_cast<std::size_t>(t)]);
    for (Index l = 0; l < c.n_layers; ++l) {
        const std::string p = "model.layers." + std::to_string(l) + ".";
        std::vector<MatrixD> inputs;
        MatrixD x =
            reference_norm(stream, source.read(p + "input_layernorm.weight"), c.rms_norm_eps);
        inputs.push_back(x);
        MatrixD q = product(x, p + "self_attn.q_proj");
        MatrixD k = product(x, p + "self_attn.k_proj");
        const MatrixD v = product(x, p + "self_attn.v_proj");
        reference_rope(q, c.n_heads, c.head_dim, frequency);
        reference_rope(k, c.n_kv_heads, c.head_dim, frequency);
        MatrixD a = MatrixD::Zero(count, c.n_heads * c.head_dim);
        for (Index h = 0; h < c.n_heads; ++h) {
            const Index kv = h / (c.n_heads / c.n_kv_heads) * c.head_dim;
            for (Index t = 0; t < count; ++t) {
                std::vector<double> score(static_cast<std::size_t>(t) + 1);
                double sum = 0;
                for (Index s = 0; s <= t; ++s) {
                    const double dot = q.row(t)
                                           .segment(h * c.head_dim, c.head_dim)
                                           .dot(k.row(s).segment(kv, c.head_dim));
                    score[static_cast<std::size_t>(s)] =
                        std::exp(dot / std::sqrt(static_cast<double>(c.head_dim)));
                    sum += score[static_cast<std::size_t>(s)];
                }
                for (Index s = 0; s <= t; ++s)
                    a.row(t).segment(h * c.head_dim, c.head_dim) +=
                        score[static_cast<std::size_t>(s)] / sum * v.row(s).segment(kv, c.head_dim);
            }
        }
        inputs.push_back(a);
        stream += product(a, p + "self_attn.o_proj");
        x = reference_norm(stream, source.read(p + "post_attention_layernorm.weight"),
                           c.rms_norm_eps);
        inputs.push_back(x);
        const MatrixD gate = product(x, p + "mlp.gate_proj");
        const MatrixD inside = (gate.array() / (1.0 + (-gate.array()).exp()))
                                   .matrix()
                                   .cwiseProduct(product(x, p + "mlp.up_proj"));
        inputs.push_back(inside);
        stream += product(inside, p + "mlp.down_proj");
        out.group_input.push_back(std::move(inputs));
    }
    const MatrixD x = reference_norm(stream, source.read("model.norm.weight"), c.rms_norm_eps);
    out.logits = x * (c.tie_embeddings ? embedding : tensor("lm_head.weight")).transpose();
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
