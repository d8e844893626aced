// SPDX-License-Identifier: Apache-2.0
#include "model/ops/rope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tests/model/tiny_model.h"

namespace vq {
namespace {

RopeConfig with_scaling(RopeConfig::Scaling scaling, double factor) {
    RopeConfig c;
    c.dims = 64;
    c.theta = 500000.0;
    c.scaling = scaling;
    c.factor = factor;
    return c;
}

TEST(Rope, FrequenciesFallGeometricallyFromOne) {
    const auto f = rope_frequencies(with_scaling(RopeConfig::Scaling::none, 1), 1);
    ASSERT_EQ(f.size(), 32U);
    for (std::size_t i = 0; i < 32; ++i)
        EXPECT_FLOAT_EQ(f[i], static_cast<float>(std::pow(500000.0, -static_cast<double>(i) / 32)));
}

TEST(Rope, LinearScalingDividesEveryFrequency) {
    const auto plain = rope_frequencies(with_scaling(RopeConfig::Scaling::none, 1), 1);
    const auto scaled = rope_frequencies(with_scaling(RopeConfig::Scaling::linear, 4), 1);
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
}

TEST(Rope, Llama3ScalingKeepsShortWavesDividesLongOnesAndBlendsBetween) {
    const auto plain = rope_frequencies(with_scaling(RopeConfig::Scaling::none, 1), 1);
    const auto scaled = rope_frequencies(with_scaling(RopeConfig::Scaling::llama3, 8), 1);
    int kept = 0;
    int divided = 0;
    int blended = 0;
    for (std::size_t i = 0; i < plain.size(); ++i) {
        const double wave = 2 * std::numbers::pi / static_cast<double>(plain[i]);
        if (wave < 8192 / 4.0) {
            EXPECT_FLOAT_EQ(scaled[i], plain[i]);
            ++kept;
        } else if (wave > 8192) {
            EXPECT_FLOAT_EQ(scaled[i], plain[i] / 8);
            ++divided;
        } else {
            const double smooth = (8192 / wave - 1) / (4 - 1);
            const double want = ((1 - smooth) / 8 + smooth) * static_cast<double>(plain[i]);
            EXPECT_NEAR(scaled[i], want, 1e-6 * want);
            ++blended;
        }
    }
    EXPECT_GT(kept, 0);
    EXPECT_GT(divided, 0);
    EXPECT_GT(blended, 0);
}

// The ends of yarn's ramp are the pairs that turn beta_fast and beta_slow times over the original
// context: below them nothing changes, above them everything is divided.
TEST(Rope, YarnKeepsFastPairsDividesSlowOnesAndBlendsBetween) {
    const auto plain = rope_frequencies(with_scaling(RopeConfig::Scaling::none, 1), 1);
    RopeConfig c = with_scaling(RopeConfig::Scaling::yarn, 4);
    for (const bool truncate : {true, false}) {
        c.truncate = truncate;
        const auto scaled = rope_frequencies(c, 1);
        const auto pair_of = [](double turns) {
            return 64 * std::log(8192 / (turns * 2 * std::numbers::pi)) / (2 * std::log(500000.0));
        };
        const double low = truncate ? std::floor(pair_of(32)) : pair_of(32);
        const double high = truncate ? std::ceil(pair_of(1)) : pair_of(1);
        for (std::size_t i = 0; i < plain.size(); ++i) {
            const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
            EXPECT_FLOAT_EQ(scaled[i], static_cast<float>(static_cast<double>(plain[i]) *
                                                          (1 - ramp + ramp / 4)));
        }
    }
}

TEST(Rope, TwoKindsOfScalingLookAtTheLength) {
    const auto plain = rope_frequencies(with_scaling(RopeConfig::Scaling::none, 1), 1);
    RopeConfig dynamic = with_scaling(RopeConfig::Scaling::dynamic, 2);
    dynamic.max_position = 100;
    EXPECT_EQ(rope_frequencies(dynamic, 100), plain);
    const auto longer = rope_frequencies(dynamic, 150);
    const double theta = 500000.0 * std::pow(2 * 1.5 - 1, 64.0 / 62.0);
    for (std::size_t i = 0; i < 32; ++i)
        EXPECT_FLOAT_EQ(longer[i],
                        static_cast<float>(std::pow(theta, -static_cast<double>(i) / 32)));

    RopeConfig two = with_scaling(RopeConfig::Scaling::longrope, 1);
    two.original_max_position = 100;
    for (int i = 0; i < 32; ++i) {
        two.short_factor.push_back(1 + i);
        two.long_factor.push_back(2 + i);
    }
    for (std::size_t i = 0; i < 32; ++i) {
        const auto number = static_cast<float>(i);
        EXPECT_FLOAT_EQ(rope_frequencies(two, 100)[i], plain[i] / (1 + number));
        EXPECT_FLOAT_EQ(rope_frequencies(two, 101)[i], plain[i] / (2 + number));
    }
}

TEST(Rope, ProportionalScalingLeavesTheLastPairsAlone) {
    RopeConfig c = with_scaling(RopeConfig::Scaling::proportional, 2);
    c.dims = 16;
    c.head_dim = 64;
    const auto f = rope_frequencies(c, 1);
    ASSERT_EQ(f.size(), 32U);
    for (std::size_t i = 0; i < 32; ++i) {
        const double plain = std::pow(500000.0, -static_cast<double>(i) / 32);
        EXPECT_FLOAT_EQ(f[i], i < 8 ? static_cast<float>(plain / 2) : 0.0F);
    }
}

TEST(Rope, DivisorsOfAFileDivideFrequencies) {
    RopeConfig c = with_scaling(RopeConfig::Scaling::none, 1);
    const auto plain = rope_frequencies(c, 1);
    for (int i = 0; i < 32; ++i) c.divisors.push_back(i < 16 ? 1 : 1e30);
    const auto f = rope_frequencies(c, 1);
    for (std::size_t i = 0; i < 32; ++i) EXPECT_NEAR(f[i], i < 16 ? plain[i] : 0, 1e-9);
}

// A table of neighbours does to (0, 1), (2, 3) ... what one of halves does to (i, i + half).
TEST(Rope, NeighboursTurnAsHalvesDoAndTheRestOfAHeadStays) {
    RopeConfig c = with_scaling(RopeConfig::Scaling::none, 1);
    c.dims = 6;
    c.attention_factor = 1.25;
    const RopeTable halves(c, 40);
    c.interleaved = true;
    const RopeTable neighbours(c, 40);
    Matrix x = test::random_matrix(1, 20, 1.0, 3);  // two heads of 8, 10 apart
    Matrix y = x;
    for (Index h = 0; h < 2; ++h)
        for (Index i = 0; i < 3; ++i) {
            y(0, 10 * h + i) = x(0, 10 * h + 2 * i);
            y(0, 10 * h + i + 3) = x(0, 10 * h + 2 * i + 1);
        }
    const Matrix before = x;
    neighbours.rotate(x.data(), 2, 10, 33, kernels(Isa::scalar));
    halves.rotate(y.data(), 2, 10, 33, kernels(Isa::scalar));
    for (Index h = 0; h < 2; ++h) {
        for (Index i = 0; i < 3; ++i) {
            EXPECT_FLOAT_EQ(x(0, 10 * h + 2 * i), y(0, 10 * h + i));
            EXPECT_FLOAT_EQ(x(0, 10 * h + 2 * i + 1), y(0, 10 * h + i + 3));
        }
        for (Index i = 6; i < 10; ++i) EXPECT_EQ(x(0, 10 * h + i), before(0, 10 * h + i));
        EXPECT_NEAR(x.row(0).segment(10 * h, 6).norm(),
                    1.25F * before.row(0).segment(10 * h, 6).norm(), 1e-5);
    }
}

TEST(Rope, ScoresDependOnlyOnTheDistanceOfPositions) {
    const RopeConfig c = test::tiny_llama().ropes.front();
    const RopeTable table(c, 64);
    const Matrix q0 = test::random_matrix(1, c.dims, 1.0, 1);
    const Matrix k0 = test::random_matrix(1, c.dims, 1.0, 2);
    const auto score = [&](Index q_position, Index k_position) {
        Matrix q = q0;
        Matrix k = k0;
        table.rotate(q.data(), 1, 0, q_position, kernels(Isa::scalar));
        table.rotate(k.data(), 1, 0, k_position, kernels(Isa::scalar));
        return q.row(0).dot(k.row(0));
    };
    EXPECT_NEAR(score(5, 2), score(63, 60), 1e-4);
    EXPECT_GT(std::abs(score(5, 2) - score(5, 4)), 1e-2);
}

}  // namespace
}  // namespace vq
