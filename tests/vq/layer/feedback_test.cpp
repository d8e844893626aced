// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/feedback.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>

#include <cmath>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::exact_proxy;
using test::gaussian;
using test::hessian_of;
using test::Threads;

MatrixD hessian(Index n) {
    MatrixD h = hessian_of(correlated_inputs(4 * n, n, 9)).xxt / static_cast<double>(4 * n);
    h.diagonal().array() += 0.01 * h.diagonal().mean();
    return h;
}

/// Rounds to multiples of 0.5: a code that every test can follow by hand.
void round_block(Index, Index rows, Index, const float* target, const float*, float* what,
                 Index block) {
    for (Index i = 0; i < rows * block; ++i) what[i] = 0.5F * std::round(2.0F * target[i]);
}

Matrix run(const Matrix& w, const BlockLDL& ldl, Index panel = 64) {
    Matrix what;
    feedback_pass(
        w, ldl, panel,
        [&](Index r, Index rows, Index c, const float* t, const float* m, float* q) {
            round_block(r, rows, c, t, m, q, ldl.block);
        },
        &what, nullptr);
    return what;
}

/// GPTQ as its paper writes it: after column j, every column k > j moves by -e U_jk with U the
/// upper Cholesky factor of H^-1 and e = (w_j - q_j) / U_jj.
Matrix gptq_reference(const Matrix& w, const MatrixD& h) {
    const MatrixD inverse = h.inverse();
    const MatrixD u = inverse.llt().matrixU();
    MatrixD rest = w.cast<double>();
    Matrix what(w.rows(), w.cols());
    for (Index j = 0; j < w.cols(); ++j)
        for (Index i = 0; i < w.rows(); ++i) {
            const double q = 0.5 * std::round(2.0 * rest(i, j));
            what(i, j) = static_cast<float>(q);
            const double e = (rest(i, j) - q) / u(j, j);
            for (Index k = j + 1; k < w.cols(); ++k) rest(i, k) -= e * u(j, k);
        }
    return what;
}

TEST(BlockLDL, FactorsReproduceTheHessian) {
    const Index n = 24;
    const MatrixD h = hessian(n);
    for (const FeedbackOrder order : {FeedbackOrder::backward, FeedbackOrder::forward})
        for (const Index block : {1, 2, 4, 8, 24}) {
            const BlockLDL ldl = factorize_block_ldl(h, block, order);
            MatrixD d = MatrixD::Zero(n, n);
            for (Index k = 0; k < n / block; ++k)
                d.block(k * block, k * block, block, block) = ldl.metrics[k].cast<double>();
            const MatrixD f = ldl.factor.cast<double>();
            MatrixD product = f * d * f.transpose();
            product *= h.trace() / product.trace();  // metrics are stored up to one factor
            EXPECT_TRUE(product.isApprox(h, 1e-5)) << block;
        }
}

TEST(Feedback, ForwardWithSingleColumnsIsGptq) {
    const MatrixD h = hessian(40);
    const Matrix w = gaussian(9, 40, 3);
    const Matrix ours = run(w, factorize_block_ldl(h, 1, FeedbackOrder::forward));
    const Matrix reference = gptq_reference(w, h);
    // Equal but for targets that sit on a rounding boundary to within fp32.
    EXPECT_LE(((ours - reference).array() != 0).count(), 1);
}

TEST(Feedback, LowersProxyLossInBothOrdersAtEveryBlockWidth) {
    const MatrixD h = hessian(160);
    const Matrix w = gaussian(40, 160, 3);
    BlockLDL none;
    none.order = FeedbackOrder::none;
    const double plain = exact_proxy(w - run(w, none), h);
    for (const FeedbackOrder order : {FeedbackOrder::backward, FeedbackOrder::forward})
        for (const Index block : {1, 4, 8, 16})
            EXPECT_LT(exact_proxy(w - run(w, factorize_block_ldl(h, block, order)), h), 0.8 * plain)
                << block;
}

TEST(Feedback, TargetsSatisfyTheLdlIdentity) {
    // tr(E H E^T) = sum_k |target_k - what_k|^2 in D_k.
    const Index n = 160;
    const Index block = 8;
    const MatrixD h = hessian(n);
    const Matrix w = gaussian(5, n, 3);
    const BlockLDL ldl = factorize_block_ldl(h, block, FeedbackOrder::backward);
    Matrix what;
    Matrix targets;
    feedback_pass(
        w, ldl, 64,
        [&](Index r, Index rows, Index c, const float* t, const float* m, float* q) {
            round_block(r, rows, c, t, m, q, block);
        },
        &what, &targets);
    double sum = 0;
    double trace = 0;
    for (Index k = 0; k < n / block; ++k) {
        const MatrixD d = ldl.metrics[k].cast<double>();
        const MatrixD e = (targets - what).middleCols(k * block, block).cast<double>();
        sum += (e * d).cwiseProduct(e).sum();
        trace += d.trace();
    }
    // Metrics are divided by the mean of their diagonals: undo that through log det H = sum log det
    // D.
    const double log_det_h = h.llt().matrixL().toDenseMatrix().diagonal().array().log().sum() * 2;
    double log_det_d = 0;
    for (const Matrix& m : ldl.metrics) log_det_d += std::log(m.cast<double>().determinant());
    const double scale = std::exp((log_det_h - log_det_d) / static_cast<double>(n));
    EXPECT_NEAR(sum * scale, exact_proxy(w - what, h), 1e-3 * sum * scale);
    EXPECT_NEAR(trace, static_cast<double>(n), 1e-2);
}

TEST(Feedback, SameBitsAtAnyNumberOfThreads) {
    const MatrixD h = hessian(136);
    const Matrix w = gaussian(150, 136, 3);
    const Threads one(1);
    const BlockLDL a = factorize_block_ldl(h, 8, FeedbackOrder::backward);
    const Matrix first = run(w, a);
    const Threads two(2);
    const BlockLDL b = factorize_block_ldl(h, 8, FeedbackOrder::backward);
    EXPECT_EQ(a.factor, b.factor);
    EXPECT_EQ(first, run(w, b));
}

TEST(BlockLDL, RefusesAnIndefiniteHessian) {
    MatrixD h = MatrixD::Identity(4, 4);
    h(2, 2) = -1;
    EXPECT_THROW(factorize_block_ldl(h, 2, FeedbackOrder::backward), Error);
}

}  // namespace
}  // namespace vq
