// SPDX-License-Identifier: Apache-2.0
#include "model/eval_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "model/compare.h"

namespace vq {
namespace {

TEST(StudentT, IsThatOfTheTables) {
    EXPECT_NEAR(student_t(0.95, 1), 12.706, 5e-4);
    EXPECT_NEAR(student_t(0.95, 2), 4.303, 5e-4);
    EXPECT_NEAR(student_t(0.95, 5), 2.571, 5e-4);
    EXPECT_NEAR(student_t(0.95, 10), 2.228, 5e-4);
    EXPECT_NEAR(student_t(0.95, 29), 2.045, 5e-4);
    EXPECT_NEAR(student_t(0.95, 100000), 1.960, 5e-4);
    EXPECT_NEAR(student_t(0.5, 3), 0.765, 5e-4);
}

TEST(WindowMean, EqualWindowsGiveTheErrorOfTheirMeans) {
    const std::vector<WindowSums> windows = {{10, 20, 1}, {10, 30, 2}, {10, 25, 6}};
    const MeanWithError nll = window_mean(windows, &WindowSums::nll);
    EXPECT_DOUBLE_EQ(nll.mean, 2.5);
    EXPECT_NEAR(nll.error, std::sqrt(0.25 / 3), 1e-12);  // variance of 2, 3, 2.5 is .25
    EXPECT_NEAR(nll.high - nll.mean, 4.3027 * nll.error, 1e-4);
    EXPECT_NEAR(nll.mean - nll.low, nll.high - nll.mean, 1e-12);
    EXPECT_DOUBLE_EQ(window_mean(windows, &WindowSums::kl).mean, 0.3);
}

TEST(PairedDifference, WhatIsHardForBothCancels) {
    std::vector<WindowSums> a;
    std::vector<WindowSums> b;
    for (std::uint64_t w = 0; w < 20; ++w) {
        const double hard = 100 * random_normal(1, w);
        a.push_back({50, 500 + hard, 0});
        b.push_back({50, 510 + hard + random_normal(2, w), 0});
    }
    const MeanWithError d = paired_difference(a, b, &WindowSums::nll);
    EXPECT_NEAR(d.mean, 0.2, 0.02);
    EXPECT_GT(d.low, 0);
    EXPECT_LT(d.error, 0.02 * window_mean(a, &WindowSums::nll).error);
    const MeanWithError back = paired_difference(b, a, &WindowSums::nll);
    EXPECT_DOUBLE_EQ(back.mean, -d.mean);
    EXPECT_DOUBLE_EQ(back.low, -d.high);
}

TEST(PairedDifference, IntervalsHoldTheTruthAsOftenAsTheySay) {
    int held = 0;
    constexpr int trials = 2000;
    for (std::uint64_t trial = 0; trial < trials; ++trial) {
        std::vector<WindowSums> a;
        std::vector<WindowSums> b;
        for (std::uint64_t w = 0; w < 6; ++w) {
            a.push_back({10, 0, 0});
            b.push_back({10, 10 * (1 + random_normal(trial, w)), 0});
        }
        const MeanWithError d = paired_difference(a, b, &WindowSums::nll);
        held += d.low < 1 && d.high > 1 ? 1 : 0;
    }
    EXPECT_NEAR(held, 0.95 * trials, 4 * std::sqrt(0.95 * 0.05 * trials));
}

TEST(PairedDifference, OneWindowHasNoInterval) {
    const std::vector<WindowSums> a = {{10, 20, 1}};
    const std::vector<WindowSums> b = {{10, 30, 3}};
    const Comparison c = compare_windows(a, b, true);
    EXPECT_DOUBLE_EQ(c.kl_difference.mean, 0.2);
    EXPECT_FALSE(c.kl_difference.is_known);
    EXPECT_TRUE(to_json(c)["kld_difference"]["low"].is_null());
    EXPECT_TRUE(to_json(c)["a"]["nll_stderr_windows"].is_null());
}

TEST(Quantile, LiesBetweenTheNearestRanks) {
    const std::vector<double> x = {1, 2, 4, 8, 16};
    EXPECT_EQ(quantile(x, 0), 1);
    EXPECT_EQ(quantile(x, 0.5), 4);
    EXPECT_EQ(quantile(x, 0.625), 6);
    EXPECT_EQ(quantile(x, 1), 16);
}

}  // namespace
}  // namespace vq
