// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/gated_delta.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/mixers/causal_conv.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

constexpr float norm_eps = 1e-5F;

struct Net {
    GatedDeltaConfig config;
    GatedDeltaWeights weights;
    Matrix conv;  // as a checkpoint holds it
};

Net random_net(bool interleaved, Index key_dim, Index value_dim, Index share = 3) {
    Net net;
    net.config = {.n_key_heads = 2,
                  .n_value_heads = 2 * share,
                  .key_dim = key_dim,
                  .value_dim = value_dim,
                  .kernel = 4,
                  .interleaved = interleaved};
    net.conv = test::random_matrix(conv_channels(net.config), 4, 0.5, 1);
    net.weights.taps = conv_taps(net.conv);
    net.weights.rate = test::random_matrix(1, 2 * share, 1.0, 2).row(0).transpose().array().exp();
    net.weights.decay_bias = test::random_matrix(1, 2 * share, 2.0, 3).row(0).transpose();
    net.weights.norm = test::random_matrix(1, value_dim, 0.5, 4).row(0).transpose();
    return net;
}

// All that a token's products give: q, k, v, z, then b and a.
Index delta_width(const GatedDeltaConfig& c) {
    return conv_channels(c) + c.n_value_heads * (c.value_dim + 2);
}

// A row of them, taken apart.
struct Parts {
    MatrixD q, k, v, z, b, a;  // (tokens, heads * dim)
};

Parts take_apart(const GatedDeltaConfig& c, const Matrix& rows) {
    const Index tokens = rows.rows();
    const Index keys = c.n_key_heads * c.key_dim;
    const Index values = c.n_value_heads * c.value_dim;
    const MatrixD x = rows.cast<double>();
    if (!c.interleaved)
        return {x.middleCols(0, keys),
                x.middleCols(keys, keys),
                x.middleCols(2 * keys, values),
                x.middleCols(2 * keys + values, values),
                x.middleCols(2 * keys + 2 * values, c.n_value_heads),
                x.middleCols(2 * keys + 2 * values + c.n_value_heads, c.n_value_heads)};
    Parts p{MatrixD(tokens, keys),
            MatrixD(tokens, keys),
            MatrixD(tokens, values),
            MatrixD(tokens, values),
            MatrixD(tokens, c.n_value_heads),
            MatrixD(tokens, c.n_value_heads)};
    const Index share = c.n_value_heads / c.n_key_heads;
    Index at = 0;
    const auto next = [&](MatrixD& to, Index h, Index n) {
        to.middleCols(h * n, n) = x.middleCols(at, n);
        at += n;
    };
    for (Index h = 0; h < c.n_key_heads; ++h) {
        next(p.q, h, c.key_dim);
        next(p.k, h, c.key_dim);
        next(p.v, h, share * c.value_dim);
        next(p.z, h, share * c.value_dim);
    }
    for (Index h = 0; h < c.n_key_heads; ++h) {
        next(p.b, h, share);
        next(p.a, h, share);
    }
    return p;
}

double silu(double x) {
    return x / (1 + std::exp(-x));
}

// The formulas of the header, in double, a token and a head at a time.
MatrixD reference(const Net& net, const Matrix& rows) {
    const GatedDeltaConfig& c = net.config;
    const Parts p = take_apart(c, rows);
    const Index tokens = rows.rows();
    MatrixD mixed(tokens, p.q.cols() + p.k.cols() + p.v.cols());
    mixed << p.q, p.k, p.v;
    MatrixD convolved = MatrixD::Zero(tokens, mixed.cols());
    for (Index t = 0; t < tokens; ++t)
        for (Index ch = 0; ch < mixed.cols(); ++ch) {
            double sum = 0;
            for (Index j = 0; j < c.kernel; ++j)
                if (t - c.kernel + 1 + j >= 0)
                    sum += static_cast<double>(net.conv(ch, j)) * mixed(t - c.kernel + 1 + j, ch);
            convolved(t, ch) = silu(sum);
        }
    MatrixD out(tokens, c.n_value_heads * c.value_dim);
    const Index keys = c.n_key_heads * c.key_dim;
    for (Index head = 0; head < c.n_value_heads; ++head) {
        const Index key_head = head / (c.n_value_heads / c.n_key_heads);
        MatrixD state = MatrixD::Zero(c.key_dim, c.value_dim);
        for (Index t = 0; t < tokens; ++t) {
            VectorD q = convolved.row(t).segment(key_head * c.key_dim, c.key_dim).transpose();
            VectorD k =
                convolved.row(t).segment(keys + key_head * c.key_dim, c.key_dim).transpose();
            const VectorD v =
                convolved.row(t).segment(2 * keys + head * c.value_dim, c.value_dim).transpose();
            q /= std::sqrt(q.squaredNorm() + 1e-6) * std::sqrt(static_cast<double>(c.key_dim));
            k /= std::sqrt(k.squaredNorm() + 1e-6);
            const double a = p.a(t, head) + static_cast<double>(net.weights.decay_bias[head]);
            state *=
                std::exp(-static_cast<double>(net.weights.rate[head]) * std::log(1 + std::exp(a)));
            const double beta = 1 / (1 + std::exp(-p.b(t, head)));
            state += beta * k * (v - state.transpose() * k).transpose();
            const VectorD o = state.transpose() * q;
            const double scale = 1 / std::sqrt(o.squaredNorm() / static_cast<double>(c.value_dim) +
                                               static_cast<double>(norm_eps));
            for (Index i = 0; i < c.value_dim; ++i)
                out(t, head * c.value_dim + i) = o[i] * scale *
                                                 static_cast<double>(net.weights.norm[i]) *
                                                 silu(p.z(t, head * c.value_dim + i));
        }
    }
    return out;
}

Matrix run(const Net& net, const Matrix& rows, GatedDeltaState* state = nullptr,
           Isa isa = active_isa()) {
    const Index heads = net.config.n_value_heads;
    Matrix out(rows.rows(), heads * net.config.value_dim);
    ScratchPool scratch;
    const Matrix qkvz = rows.leftCols(rows.cols() - 2 * heads);
    const Matrix b = net.config.interleaved ? Matrix(rows.rightCols(2 * heads))
                                            : Matrix(rows.middleCols(qkvz.cols(), heads));
    const Matrix a = rows.rightCols(heads);
    gated_delta(net.config, net.weights, norm_eps, kernels(isa), {qkvz.data(), b.data(), a.data()},
                rows.rows(), state, out.data(), scratch);
    return out;
}

Matrix random_rows(const Net& net, Index tokens) {
    return test::random_matrix(tokens, delta_width(net.config), 1.0, 7);
}

// Errors of fp32 in S and in the sums over a head's keys, magnified by the norm behind them.
TEST(GatedDelta, MatchesTheFormulasInDouble) {
    for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
        if (isa > detect_isa()) continue;
        for (const bool interleaved : {false, true})
            for (const Index value_dim : {Index{5}, Index{32}, Index{71}})
                for (const Index tokens : {Index{1}, Index{3}, Index{64}, Index{150}}) {
                    const Net net = random_net(interleaved, 13, value_dim);
                    const Matrix rows = random_rows(net, tokens);
                    const MatrixD want = reference(net, rows);
                    const MatrixD got = run(net, rows, nullptr, isa).cast<double>();
                    EXPECT_LT((got - want).cwiseAbs().maxCoeff(), 1e-5 * want.cwiseAbs().maxCoeff())
                        << isa_name(isa) << " value_dim " << value_dim << " tokens " << tokens;
                }
    }
}

TEST(GatedDelta, TokensOneByOneOrTogetherGiveTheSameBits) {
    for (const bool interleaved : {false, true}) {
        const Net net = random_net(interleaved, 8, 40);
        const Matrix rows = random_rows(net, 90);
        const Matrix want = run(net, rows);
        for (const Index piece : {Index{1}, Index{2}, Index{7}, Index{88}}) {
            GatedDeltaState state(net.config);
            for (Index first = 0; first < 90; first += piece) {
                const Index n = std::min(piece, 90 - first);
                EXPECT_EQ(run(net, rows.middleRows(first, n), &state), want.middleRows(first, n))
                    << "piece " << piece << " at " << first;
            }
        }
    }
}

TEST(GatedDelta, BitsDoNotDependOnTheNumberOfThreads) {
    const Net net = random_net(true, 32, 64);
    const Matrix rows = random_rows(net, 80);
    const auto with = [&](int threads) {
        const test::Threads scope(threads);
        return run(net, rows);
    };
    EXPECT_EQ(with(1), with(3));
}

// Without decay (a far below zero) and with full writes (b far above), S holds the last value of a
// key whole: what a second token with the same key reads is the second value alone.
TEST(GatedDelta, AKeyWrittenAgainHoldsItsNewValue) {
    Net net = random_net(false, 16, 8, 1);
    net.weights.taps.setZero();
    net.weights.taps.row(3).setOnes();  // no convolution
    net.weights.norm.setOnes();
    Matrix rows = random_rows(net, 2);
    const Index keys = 32;
    rows.row(1).head(2 * keys) = rows.row(0).head(2 * keys);
    rows.row(0).segment(keys, keys) = rows.row(0).head(keys);  // k = q
    rows.row(1).segment(keys, keys) = rows.row(0).head(keys);
    rows.rightCols(2).setConstant(-100.0F);                   // a: S stays as it is
    rows.middleCols(rows.cols() - 4, 2).setConstant(100.0F);  // b: writes are whole
    const Matrix both = run(net, rows);
    const Matrix second = run(net, rows.bottomRows(1));
    EXPECT_LT((both.row(1) - second.row(0)).cwiseAbs().maxCoeff(), 1e-5F);
}

}  // namespace
}  // namespace vq
