// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/latent_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/tiny_model.h"

namespace vq {
namespace {

constexpr Index positions = 300;

struct Layer {
    LatentAttentionConfig config;
    RopeConfig turns;
    Matrix up;
    Vector norm;
    Layer()
        : config{.n_heads = 11,  // more than one batch of heads, the last one not full
                 .query_rank = 0,
                 .kv_rank = 24,
                 .plain_dim = 7,
                 .rope_dim = 6,
                 .value_dim = 9,
                 .rope = 0,
                 .scale = 0.3},
          up(test::random_matrix(11 * 16, 24, 0.3, 1)),
          norm(test::random_matrix(1, 24, 1.0, 2).row(0).transpose()) {
        turns.dims = config.rope_dim;
        turns.head_dim = config.rope_dim;
    }
    Index query_width() const { return config.n_heads * (config.plain_dim + config.rope_dim); }
};

// What the products of the layer's input give, before anything turned.
struct Input {
    Matrix queries;
    Matrix rows;  // (tokens, kv_rank + rope_dim)
    Input(const Layer& layer, Index tokens)
        : queries(test::random_matrix(tokens, layer.query_width(), 1.0, 3)),
          rows(test::random_matrix(tokens, latent_width(layer.config), 1.0, 4)) {}
};

VectorD turned(const VectorD& x, const std::vector<float>& frequency, Index position) {
    VectorD y = x;
    const Index half = x.size() / 2;
    for (Index i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) *
                             static_cast<double>(frequency[static_cast<std::size_t>(i)]);
        y[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
        y[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
}

// The heads' keys and values made one by one, in double.
MatrixD reference(const Layer& layer, const Input& input) {
    const LatentAttentionConfig& c = layer.config;
    const Index tokens = input.rows.rows();
    const std::vector<float> frequency = rope_frequencies(layer.turns, positions);
    const Index per_head = c.plain_dim + c.value_dim;
    MatrixD out = MatrixD::Zero(tokens, c.n_heads * c.value_dim);
    for (Index h = 0; h < c.n_heads; ++h) {
        MatrixD keys(tokens, c.plain_dim + c.rope_dim);
        MatrixD values(tokens, c.value_dim);
        const MatrixD w = layer.up.middleRows(h * per_head, per_head).cast<double>();
        for (Index s = 0; s < tokens; ++s) {
            VectorD latent = input.rows.row(s).head(c.kv_rank).transpose().cast<double>();
            latent /= std::sqrt(latent.squaredNorm() / static_cast<double>(c.kv_rank) + 1e-6);
            const VectorD both = w * latent.cwiseProduct(layer.norm.cast<double>());
            keys.row(s).head(c.plain_dim) = both.head(c.plain_dim).transpose();
            keys.row(s).tail(c.rope_dim) =
                turned(input.rows.row(s).tail(c.rope_dim).transpose().cast<double>(), frequency, s)
                    .transpose();
            values.row(s) = both.tail(c.value_dim).transpose();
        }
        for (Index t = 0; t < tokens; ++t) {
            VectorD q = input.queries.row(t)
                            .segment(h * keys.cols(), keys.cols())
                            .transpose()
                            .cast<double>();
            q.tail(c.rope_dim) = turned(q.tail(c.rope_dim), frequency, t);
            VectorD p = (keys.topRows(t + 1) * q * c.scale).array().exp();
            p /= p.sum();
            out.row(t).segment(h * c.value_dim, c.value_dim) =
                p.transpose() * values.topRows(t + 1);
        }
    }
    return out;
}

using Order = decltype(&latent_attention);

// In pieces, the cache growing with them.
Matrix run(const Layer& layer, const Input& input, Order order, Index piece) {
    const RopeTable rope(layer.turns, positions);
    const Kernels& kernel = kernels(active_isa());
    ScratchPool scratch;
    const Index tokens = input.rows.rows();
    Matrix cache(tokens, latent_width(layer.config));
    Matrix out(tokens, layer.config.n_heads * layer.config.value_dim);
    Matrix queries = input.queries;
    for (Index past = 0; past < tokens; past += piece) {
        const Index n = std::min(piece, tokens - past);
        for (Index t = past; t < past + n; ++t) {
            make_latent(layer.config, layer.norm, rope, kernel, input.rows.row(t).data(), t,
                        cache.row(t).data());
            turn_query(layer.config, rope, kernel, queries.row(t).data(), t);
        }
        order(layer.config, kernel, layer.up, queries.row(past).data(), cache.data(), n, past,
              out.row(past).data(), scratch);
    }
    return out;
}

TEST(LatentAttention, BothOrdersMatchTheFormulasInDoubleInPiecesOfAnySize) {
    const Layer layer;
    for (const Index tokens : {Index{1}, Index{2}, Index{20}, Index{290}}) {
        const Input input(layer, tokens);
        const MatrixD want = reference(layer, input);
        for (const Order order :
             {latent_attention, latent_attention_expanded, latent_attention_absorbed})
            for (const Index piece : {Index{1}, Index{3}, Index{150}, Index{300}}) {
                if (piece == 1 && tokens > 100) continue;  // slow, and no other case than 20
                const MatrixD got = run(layer, input, order, piece).cast<double>();
                EXPECT_LT((got - want).cwiseAbs().maxCoeff(), 1e-5 * want.cwiseAbs().maxCoeff())
                    << tokens << " tokens in pieces of " << piece;
            }
    }
}

TEST(LatentAttention, BitsDoNotDependOnTheNumberOfThreads) {
    const Layer layer;
    const Input input(layer, 290);
    for (const Order order : {latent_attention_expanded, latent_attention_absorbed}) {
        const auto with = [&](int threads) {
            const test::Threads scope(threads);
            return run(layer, input, order, 200);
        };
        EXPECT_EQ(with(1), with(3));
    }
}

}  // namespace
}  // namespace vq
