// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/hessian.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tests/vq/layer_fixture.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::gaussian;
using test::hessian_of;
using test::Threads;

TEST(HessianSum, EqualsTheDoublePrecisionProduct) {
    for (const Index n : {1, 5, 193, 400}) {
        const Matrix x = gaussian(700, n, 1);
        const HessianSum sum = hessian_of(x);
        const MatrixD exact = x.cast<double>().transpose() * x.cast<double>();
        // 256 products of size ~1 in fp32, then fp64: well below 256 * 2^-24 * 700 / 256.
        EXPECT_LT((sum.xxt - exact).cwiseAbs().maxCoeff(), 700 * 256 * 0x1p-24 / 16) << n;
        EXPECT_EQ(sum.xxt, sum.xxt.transpose());
        EXPECT_EQ(sum.count, 700);
        EXPECT_NEAR(sum.x(0), x.col(0).cast<double>().sum(), 1e-9);
    }
}

TEST(HessianSum, SameBitsAtAnyNumberOfThreads) {
    const Matrix x = gaussian(300, 450, 4);
    const Threads one(1);
    const HessianSum a = hessian_of(x);
    const Threads two(2);
    const HessianSum b = hessian_of(x);
    EXPECT_EQ(a.xxt, b.xxt);
}

TEST(HessianSum, MergeIsExactAddition) {
    const Matrix x = gaussian(256, 20, 1);
    const Matrix y = gaussian(100, 20, 2);
    HessianSum both = hessian_of(x);
    both.add(y.data(), y.rows());
    HessianSum merged = hessian_of(x);
    merged.merge(hessian_of(y));
    EXPECT_EQ(both.xxt, merged.xxt);
    EXPECT_EQ(both.count, merged.count);
    EXPECT_TRUE(both.x.isApprox(merged.x, 1e-12));
}

TEST(PrepareHessian, DeadColumnsGetTheMeanDiagonalAndNoCorrelation) {
    Matrix x = correlated_inputs(200, 6, 1);
    x.col(2).setZero();
    HessianReport report;
    const MatrixD h = prepare_hessian(hessian_of(x), 0.01, "w", &report);
    EXPECT_EQ(report.dead_columns, 1);
    EXPECT_GT(h(2, 2), 0);
    EXPECT_EQ(h(2, 3), 0);
    EXPECT_DOUBLE_EQ(report.damping, 0.01);
}

TEST(PrepareHessian, NeverSeenLayerGetsTheIdentity) {
    HessianReport report;
    EXPECT_EQ(prepare_hessian(HessianSum(4), 0.01, "w", &report), MatrixD::Identity(4, 4));
    EXPECT_TRUE(report.never_seen);
    HessianSum zeros(4);
    zeros.count = 10;
    EXPECT_EQ(prepare_hessian(zeros, 0.01, "w", &report), MatrixD::Identity(4, 4));
    EXPECT_TRUE(report.never_seen);
    EXPECT_EQ(report.dead_columns, 4);
}

TEST(PrepareHessian, RaisesDampingUntilPositiveDefinite) {
    // Two tokens in six dimensions: rank 2; without damping no Cholesky factor exists.
    HessianReport report;
    const MatrixD h = prepare_hessian(hessian_of(gaussian(2, 6, 1)), 0.0, "w", &report);
    EXPECT_GT(report.damping, 0);
    EXPECT_TRUE(h.allFinite());
}

TEST(PrepareHessian, RefusesValuesThatAreNotFinite) {
    HessianSum sum = hessian_of(gaussian(10, 3, 1));
    sum.xxt(1, 1) = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THROW(prepare_hessian(sum, 0.01, "layer 7", nullptr), Error);
}

}  // namespace
}  // namespace vq
