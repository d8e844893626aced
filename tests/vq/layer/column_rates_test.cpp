// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/column_rates.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "base/rng.h"
#include "codebooks/residual/scalar_grid.h"

namespace vq {
namespace {

const std::vector<double> distortion = {0.27, 0.069, 0.0176, 0.0046};

VectorD falling(Index n, double factor) {
    VectorD d(n);
    for (Index i = 0; i < n; ++i) d(i) = std::pow(factor, static_cast<double>(i));
    return d;
}

constexpr RateRange four_rates;
constexpr RateRange eight_rates{.most = HalfBits::whole(8), .columns = 1};

double cost(const VectorD& d, const std::vector<RateRun>& runs,
            const std::vector<double>& delta = distortion) {
    double sum = 0;
    Index at = 0;
    for (const RateRun& run : runs) {
        sum += d.segment(at, run.cols).sum() *
               delta[static_cast<std::size_t>(run.rate.whole_bits()) - 1];
        at += run.cols;
    }
    return sum;
}

TEST(ColumnRates, PlansSpendTheirBitsExactly) {
    for (const Index n : {1, 5, 16, 40, 576, 1536})
        for (const double rate : {1.0, 1.5, 2.0, 2.03125, 2.7, 3.999, 4.0}) {
            const auto runs = plan_column_rates(falling(n, 0.99), rate, distortion, four_rates);
            Index cols = 0;
            Index bits = 0;
            for (const RateRun& run : runs) {
                EXPECT_GE(run.cols, 1);
                cols += run.cols;
                bits += run.rate.whole_bits() * run.cols;
            }
            EXPECT_EQ(cols, n);
            EXPECT_EQ(bits, column_bits(n, rate, four_rates));
            EXPECT_LE(static_cast<double>(bits), rate * static_cast<double>(n) + 1e-3);
        }
}

/// All assignments of 1 bit or more to a few columns, in any order.
double exhaustive(const VectorD& d, Index bits, const std::vector<double>& delta = distortion) {
    double best = std::numeric_limits<double>::infinity();
    const std::function<void(Index, Index, double)> go = [&](Index at, Index left, double sum) {
        if (at == d.size()) {
            if (left == 0) best = std::min(best, sum);
            return;
        }
        const Index others = d.size() - at - 1;
        for (Index k = 1; k <= static_cast<Index>(delta.size()) && left - k >= others; ++k)
            go(at + 1, left - k, sum + d(at) * delta[static_cast<std::size_t>(k) - 1]);
    };
    go(0, bits, 0);
    return best;
}

TEST(ColumnRates, OptimalForMonotoneLosses) {
    for (const double factor : {0.3, 0.6, 0.95, 1.0, 1.5})
        for (const double rate : {1.2, 2.0, 2.5, 3.3}) {
            const VectorD d = falling(8, factor);
            EXPECT_NEAR(cost(d, plan_column_rates(d, rate, distortion, four_rates)),
                        exhaustive(d, column_bits(8, rate, four_rates)), 1e-12)
                << factor << " at " << rate;
        }
}

std::vector<double> grid_distortion() {
    std::vector<double> delta;
    for (int bits = 1; bits <= 8; ++bits)
        delta.push_back(gaussian_distortion(scalar_grid(Grid::gaussian, bits)->parameters()));
    return delta;
}

TEST(ColumnRates, EightRatesSpendTheirBitsExactlyToTheColumn) {
    const std::vector<double> delta = grid_distortion();
    for (const Index n : {1, 5, 16, 40, 576, 1536})
        for (const double rate : {1.0, 1.5, 2.03125, 3.0, 4.7, 7.999, 8.0}) {
            const VectorD d = falling(n, 0.99);
            Index cols = 0;
            Index bits = 0;
            HalfBits last = HalfBits::whole(9);
            for (const RateRun& run : plan_column_rates(d, rate, delta, eight_rates)) {
                EXPECT_GE(run.cols, 1);
                EXPECT_LT(run.rate, last);
                last = run.rate;
                cols += run.cols;
                bits += run.rate.whole_bits() * run.cols;
            }
            EXPECT_EQ(cols, n);
            EXPECT_EQ(bits, static_cast<Index>(std::floor(rate * static_cast<double>(n) + 1e-6)));
        }
}

TEST(ColumnRates, EightRatesAreOptimalForMonotoneLosses) {
    const std::vector<double> delta = grid_distortion();
    for (const double factor : {0.1, 0.3, 0.6, 0.95, 1.0, 1.5})
        for (const double rate : {1.0, 1.4, 2.0, 3.4, 5.8, 8.0}) {
            const VectorD d = falling(5, factor);
            EXPECT_NEAR(cost(d, plan_column_rates(d, rate, delta, eight_rates), delta),
                        exhaustive(d, column_bits(5, rate, eight_rates), delta), 1e-12)
                << factor << " at " << rate;
        }
}

// Reverse water-filling: bits are half the logarithm of the loss's share, up to a constant and
// whole numbers.
TEST(ColumnRates, BitsFollowTheLogarithmOfTheLoss) {
    VectorD d(6);
    for (Index i = 0; i < 6; ++i) d(i) = std::pow(4.0, static_cast<double>(6 - i));
    std::vector<double> delta;
    for (int bits = 1; bits <= 8; ++bits) delta.push_back(std::pow(4.0, -bits));
    const std::vector<RateRun> runs = plan_column_rates(d, 4.5, delta, eight_rates);
    ASSERT_EQ(runs.size(), 6U);
    for (int i = 0; i < 6; ++i)
        EXPECT_EQ(runs[static_cast<std::size_t>(i)].rate, HalfBits::whole(7 - i));
}

// Five rates go by marginal gains, as eight do.
TEST(ColumnRates, ARangeIsKeptAmongMoreThanFourRates) {
    const std::vector<double> delta = grid_distortion();
    const RateRange range{.least = HalfBits::whole(3), .most = HalfBits::whole(7), .columns = 1};
    for (const RateRun& run :
         plan_column_rates(falling(64, 0.5), 3.5, {delta.begin() + 2, delta.begin() + 7}, range)) {
        EXPECT_GE(run.rate, range.least);
        EXPECT_LE(run.rate, range.most);
    }
}

TEST(ColumnRates, ARangeIsKept) {
    const auto runs = plan_column_rates(falling(64, 0.8), 2.5, {distortion[1], distortion[2]},
                                        {.least = HalfBits::whole(2), .most = HalfBits::whole(3)});
    ASSERT_EQ(runs.size(), 2U);
    EXPECT_EQ(runs[0].rate, HalfBits::whole(3));
    EXPECT_EQ(runs[1].rate, HalfBits::whole(2));
    const auto whole = plan_column_rates(falling(64, 0.8), 2.0, {distortion[1]},
                                         {.least = HalfBits::whole(2), .most = HalfBits::whole(2)});
    ASSERT_EQ(whole.size(), 1U);
    EXPECT_EQ(whole[0].rate, HalfBits::whole(2));
}

// 1, 1.5, ... 4 bits: the plan meets any budget to the half bit, and is never worse than one of
// whole bits.
TEST(ColumnRates, HalfBitsAreRatesLikeAnyOther) {
    const RateRange halves{.step = {1}, .columns = 1};
    std::vector<double> delta;
    std::vector<double> whole;
    for (int i = 0; i < halves.count(); ++i) {
        delta.push_back(std::pow(4.0, -halves.at(i).bits()));
        if (halves.at(i).is_whole()) whole.push_back(delta.back());
    }
    ASSERT_EQ(delta.size(), 7U);
    ASSERT_EQ(whole.size(), 4U);
    for (const double rate : {1.0, 1.5, 2.25, 3.5, 4.0}) {
        const VectorD d = falling(24, 0.8);
        double bits = 0;
        double loss = 0;
        Index at = 0;
        for (const RateRun& run : plan_column_rates(d, rate, delta, halves)) {
            bits += run.rate.bits() * static_cast<double>(run.cols);
            loss += d.segment(at, run.cols).sum() *
                    delta[static_cast<std::size_t>(halves.index_of(run.rate))];
            at += run.cols;
        }
        EXPECT_EQ(bits, rate * 24);
        EXPECT_EQ(bits, column_bits(24, rate, halves));
        const RateRange ones{.columns = 1};
        EXPECT_LE(loss, cost(d, plan_column_rates(d, rate, whole, ones), whole) + 1e-12);
    }
}

}  // namespace
}  // namespace vq
