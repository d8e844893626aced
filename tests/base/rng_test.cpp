// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"

#include <gtest/gtest.h>

#include <set>

namespace vq {
namespace {

constexpr std::uint64_t draws = 200000;

TEST(Rng, StreamsAndPositionsDiffer) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t seed = 0; seed < 100; ++seed)
        for (std::uint64_t i = 0; i < 100; ++i) seen.insert(random_bits(seed, i));
    EXPECT_EQ(seen.size(), 10000U);
}

// Stores hold seeds instead of signs: these values may never change.
TEST(Rng, ValuesAreFrozen) {
    EXPECT_EQ(random_bits(0, 0), 0xE220A8397B1DCDAFULL);  // SplitMix64's first value of seed 0
    EXPECT_EQ(random_bits(0, 1), 0x6E789E6AA1B965F4ULL);
    EXPECT_EQ(random_bits(0, 2), 0x06C45D188009454FULL);
}

// Bounds: five standard errors of the mean and of the variance.
TEST(Rng, UniformHasItsMeanVarianceAndRange) {
    double sum = 0, squares = 0;
    for (std::uint64_t i = 0; i < draws; ++i) {
        const double u = random_uniform(7, i);
        ASSERT_GT(u, 0.0);
        ASSERT_LT(u, 1.0);
        sum += u;
        squares += (u - 0.5) * (u - 0.5);
    }
    EXPECT_NEAR(sum / draws, 0.5, 5 * std::sqrt(1.0 / 12 / draws));
    EXPECT_NEAR(squares / draws, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / draws));
}

TEST(Rng, NormalHasItsFirstFourMoments) {
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    for (std::uint64_t i = 0; i < draws; ++i) {
        const double x = random_normal(7, i);
        m1 += x;
        m2 += x * x;
        m3 += x * x * x;
        m4 += x * x * x * x;
    }
    EXPECT_NEAR(m1 / draws, 0, 5 * std::sqrt(1.0 / draws));
    EXPECT_NEAR(m2 / draws, 1, 5 * std::sqrt(2.0 / draws));
    EXPECT_NEAR(m3 / draws, 0, 5 * std::sqrt(15.0 / draws));
    EXPECT_NEAR(m4 / draws, 3, 5 * std::sqrt(96.0 / draws));
}

TEST(Rng, SignsAreBalancedAndUncorrelated) {
    double sum = 0, lagged = 0;
    for (std::uint64_t i = 0; i < draws; ++i) {
        const float sign = random_sign(3, i);
        ASSERT_TRUE(sign == 1.0F || sign == -1.0F);
        sum += sign;
        lagged += sign * random_sign(3, i + 1);
    }
    EXPECT_LT(std::abs(sum), 5 * std::sqrt(double(draws)));
    EXPECT_LT(std::abs(lagged), 5 * std::sqrt(double(draws)));
}

}  // namespace
}  // namespace vq
