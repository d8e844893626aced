// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/hessian_factors.h"

#include <gtest/gtest.h>

#include "tests/vq/layer_fixture.h"
#include "vq/layer/drift.h"
#include "vq/layer/quantize_layer.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::gaussian;
using test::hessian_of;

/// Sums with a dead column, so that damping has to be found.
HessianSum sums(Index n) {
    Matrix x = correlated_inputs(n / 2, n, 3);  // fewer tokens than columns: singular
    x.col(1).setZero();
    return hessian_of(x);
}

TEST(HessianFactors, GiveWhatIsComputedAnew) {
    const HessianSum sum = sums(40);
    for (const double damping : {0.0, 1e-12, 0.01, 1.0}) {
        HessianReport fresh;
        MatrixD factor;
        const MatrixD h = prepare_hessian(sum, damping, "w", &fresh, &factor);
        HessianFactors factors(sum);
        HessianReport report;
        EXPECT_EQ(factors.cholesky(damping, "w"), factor);
        EXPECT_EQ(factors.hessian(damping, "w", &report), h) << damping;
        EXPECT_EQ(report.damping, fresh.damping);
        EXPECT_EQ(report.dead_columns, 1);
        EXPECT_LT((factor * factor.transpose() - h).norm(), 1e-9 * h.norm());
        EXPECT_EQ(factors.factorizations(), 1);
    }
}

TEST(HessianFactors, NeverSeenInputsAreTheIdentity) {
    const HessianSum sum(7);
    HessianFactors factors(sum);
    HessianReport report;
    EXPECT_EQ(factors.hessian(0.01, "w", &report), MatrixD::Identity(7, 7));
    EXPECT_EQ(factors.hessian(0.01, "w", &report), MatrixD::Identity(7, 7));
    EXPECT_TRUE(report.never_seen);
    EXPECT_EQ(factors.cholesky(0.01, "w"), MatrixD::Identity(7, 7));
}

TEST(HessianFactors, OneMatrixIsFactoredOnceAndAnotherOneAgain) {
    const HessianSum sum = hessian_of(correlated_inputs(200, 32, 1));
    HessianFactors factors(sum);
    const MatrixD h = factors.hessian(0.01, "w", nullptr);
    ASSERT_EQ(factors.factorizations(), 1);
    const auto first = factors.block_ldl(h, 8, FeedbackOrder::backward);
    EXPECT_EQ(factors.block_ldl(MatrixD(h), 8, FeedbackOrder::backward), first);
    EXPECT_EQ(factors.factorizations(), 2);
    // Another block, order or a single other bit of H is another factor.
    const auto narrow = factors.block_ldl(h, 4, FeedbackOrder::backward);
    EXPECT_NE(narrow, first);
    EXPECT_EQ(narrow->block, 4);
    EXPECT_EQ(factors.block_ldl(h, 4, FeedbackOrder::forward)->order, FeedbackOrder::forward);
    MatrixD other = h;
    other(31, 31) = std::nextafter(other(31, 31), 1e9);
    const auto changed = factors.block_ldl(other, 4, FeedbackOrder::forward);
    EXPECT_EQ(factors.factorizations(), 5);
    EXPECT_EQ(changed->factor, factorize_block_ldl(other, 4, FeedbackOrder::forward).factor);
}

/// Layers of a group one after the other, with shared factors or each by itself.
std::vector<QuantizedLayer> group_of_three(const Settings& s, bool share, int* made) {
    const HessianSum sum = hessian_of(correlated_inputs(300, 64, 1));
    HessianFactors factors(sum);
    std::vector<QuantizedLayer> out;
    *made = 0;
    for (std::uint64_t i = 0; i < 3; ++i) {
        const Matrix w = gaussian(32, 64, 10 + i);
        HessianFactors own(sum);
        HessianFactors& used = share ? factors : own;
        out.push_back(quantize_layer(w, used, s, {}, 5, "w", {}));
        if (!share) *made += own.factorizations();
    }
    if (share) *made = factors.factorizations();
    return out;
}

TEST(HessianFactors, TensorsOfAGroupShareThemWithoutAChangeOfAnyBit) {
    for (const char* method : {"best", "quip-sharp", "vptq", "awq", "squeezellm"}) {
        Settings s = preset_settings(method);
        s.code.grid = Grid::gaussian;
        s.code.scope = CodebookScope::tensor;
        s.code.rate = 2;
        s.code.stage_bits = s.code.dim == 1 ? std::vector<int>{2} : std::vector<int>{5, 4};
        if (s.code.dim == 8 && std::string(method) == "quip-sharp") s.code.stage_bits = {16};
        s.code.outlier_bits = 5;
        s.refine.rounds = std::min(s.refine.rounds, 1);
        int shared = 0;
        int apart = 0;
        const auto together = group_of_three(s, true, &shared);
        const auto alone = group_of_three(s, false, &apart);
        for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(together[i].what, alone[i].what) << method;
        EXPECT_LT(shared, apart) << method;
        // Nothing about the weights enters the transform here: two for all three tensors.
        if (std::string(method) == "best" || std::string(method) == "quip-sharp") {
            EXPECT_EQ(shared, 2);
        }
    }
}

}  // namespace
}  // namespace vq
