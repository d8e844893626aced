// SPDX-License-Identifier: Apache-2.0
#include "model/ops/rope.h"

#include <gtest/gtest.h>

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
