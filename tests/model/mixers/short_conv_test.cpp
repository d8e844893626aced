// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/short_conv.h"

#include <gtest/gtest.h>

#include "model/mixers/causal_conv.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

struct Layer {
    Matrix weight;  // as a checkpoint holds it: (hidden, kernel)
    Matrix taps;
    Layer(Index hidden, Index kernel)
        : weight(test::random_matrix(hidden, kernel, 1.0, 1)), taps(conv_taps(weight)) {}
};

MatrixD reference(const Layer& layer, const Matrix& rows) {
    const Index hidden = layer.weight.rows();
    const Index kernel = layer.weight.cols();
    MatrixD out(rows.rows(), hidden);
    for (Index t = 0; t < rows.rows(); ++t)
        for (Index c = 0; c < hidden; ++c) {
            double sum = 0;
            for (Index j = 0; j < kernel; ++j) {
                const Index s = t - kernel + 1 + j;
                if (s < 0) continue;
                sum += static_cast<double>(layer.weight(c, j)) * static_cast<double>(rows(s, c)) *
                       static_cast<double>(rows(s, 2 * hidden + c));
            }
            out(t, c) = sum * static_cast<double>(rows(t, hidden + c));
        }
    return out;
}

Matrix run(const Layer& layer, const Matrix& rows, ShortConvState* state = nullptr) {
    Matrix out(rows.rows(), layer.weight.rows());
    ScratchPool scratch;
    short_conv(layer.taps, rows.data(), rows.rows(), state, out.data(), scratch);
    return out;
}

// kernel + 2 roundings of values of that size.
TEST(ShortConv, MatchesTheFormulaInDouble) {
    for (const Index kernel : {Index{1}, Index{3}, Index{40}})
        for (const Index hidden : {Index{1}, Index{17}})
            for (const Index tokens : {Index{1}, Index{2}, Index{33}, Index{100}}) {
                const Layer layer(hidden, kernel);
                const Matrix rows = test::random_matrix(tokens, 3 * hidden, 1.0, 5);
                const MatrixD want = reference(layer, rows);
                const MatrixD got = run(layer, rows).cast<double>();
                EXPECT_LT((got - want).cwiseAbs().maxCoeff(), 1e-6 * want.cwiseAbs().maxCoeff() * 4)
                    << "kernel " << kernel << " hidden " << hidden << " tokens " << tokens;
            }
}

TEST(ShortConv, TokensOneByOneOrTogetherGiveTheSameBits) {
    for (const Index kernel : {Index{1}, Index{3}, Index{40}}) {
        const Layer layer(9, kernel);
        const Matrix rows = test::random_matrix(100, 27, 1.0, 6);
        const Matrix want = run(layer, rows);
        for (const Index piece : {Index{1}, Index{2}, Index{5}, Index{97}}) {
            ShortConvState state(kernel, 9);
            for (Index first = 0; first < 100; first += piece) {
                const Index n = std::min(piece, 100 - first);
                EXPECT_EQ(run(layer, rows.middleRows(first, n), &state), want.middleRows(first, n))
                    << "kernel " << kernel << " piece " << piece << " at " << first;
            }
        }
    }
}

TEST(ShortConv, BitsDoNotDependOnTheNumberOfThreads) {
    const Layer layer(300, 3);
    const Matrix rows = test::random_matrix(400, 900, 1.0, 8);
    const auto with = [&](int threads) {
        const test::Threads scope(threads);
        return run(layer, rows);
    };
    EXPECT_EQ(with(1), with(3));
}

}  // namespace
}  // namespace vq
