// SPDX-License-Identifier: Apache-2.0
// Calibration of everything that a block can have, against the reference; and of experts that saw
// few tokens or none.
#include "model/calibration_experts.h"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>

#include "model/calibration.h"
#include "model/language_model.h"
#include "tests/model/feature_models.h"
#include "tests/model/reference.h"

namespace vq {
namespace {

struct Walked {
    test::MemorySource source;
    std::vector<LinearGroup> groups;  // of the last block
    std::vector<HessianSum> sums;
    std::vector<Index> seen;
    test::Reference want;
};

// The sums of the last block, of one window.
Walked walk_through(const ModelConfig& config, Index tokens) {
    Walked out{test::random_model(config, 31), {}, {}, {}, {}};
    const auto ids = test::random_tokens(tokens, config.vocab_size, 32);
    out.want = test::reference_forward(out.source, ids);
    CalibrationWalk walk(out.source, {ids}, {}, {});
    for (Index l = 0; l < walk.layers(); ++l) {
        out.sums.clear();
        out.groups = linear_groups(config, l);
        for (std::size_t g = 0; g < out.groups.size(); ++g) {
            out.sums.emplace_back(out.groups[g].cols);
            walk.collect(l, static_cast<Index>(g), out.sums.back());
        }
        out.seen = walk.expert_tokens();
        walk.finish(l);
    }
    return out;
}

class CalibrationFeatures : public ::testing::TestWithParam<test::Feature> {};

TEST_P(CalibrationFeatures, SumsEqualThoseOfTheReference) {
    const Walked w = walk_through(test::with_feature(GetParam()), 130);
    for (std::size_t g = 0; g < w.groups.size(); ++g) {
        if (w.groups[g].expert >= 0) continue;
        const MatrixD& x = w.want.group_input.back()[g];
        EXPECT_LT((w.sums[g].xxt - x.transpose() * x).norm(), 3e-5 * w.sums[g].xxt.norm())
            << w.groups[g].names.front();
        EXPECT_EQ(w.sums[g].count, 130);
    }
}

INSTANTIATE_TEST_SUITE_P(All, CalibrationFeatures, ::testing::ValuesIn(test::all_features()),
                         test::feature_name);

class CalibrationOfExperts : public ::testing::TestWithParam<test::Feature> {};

// H_e plus a share of all tokens' H, which has the same trace.
TEST_P(CalibrationOfExperts, LeansOnAllTokensByHowFewItSaw) {
    const ModelConfig config = test::with_feature(GetParam());
    const Walked w = walk_through(config, 130);
    EXPECT_EQ(w.seen, w.want.expert_tokens.back());
    const bool scales_input =
        config.layers.back().mixture.weight == MixtureConfig::Weight::sigmoid_of_input;
    for (std::size_t g = 0; g < w.groups.size(); ++g) {
        if (w.groups[g].kind != GroupKind::expert_gate_up) continue;
        const MatrixD& own = w.want.group_input.back()[g];
        const auto n = static_cast<double>(own.rows());
        ASSERT_TRUE(w.sums[g].xxt.allFinite());
        if (own.rows() == 0) {
            EXPECT_EQ(w.sums[g].count, 130);  // all tokens stand for its own
            continue;
        }
        const MatrixD rest = w.sums[g].xxt - own.transpose() * own;
        const auto width = static_cast<double>(own.cols());
        EXPECT_NEAR(rest.trace(), width / (n + width) * (own.transpose() * own).trace(),
                    1e-4 * rest.trace());
        EXPECT_EQ(w.sums[g].count, own.rows());
        // The mean input stays within the inputs, whatever they weigh.
        if (!scales_input) {
            const MatrixD& x = w.want.group_input.back()[0];
            EXPECT_LT(w.sums[g].x.norm() / n, 10 * x.rowwise().norm().maxCoeff());
        }
        // What it leans on has the directions of all tokens, not of its own alone.
        const Eigen::SelfAdjointEigenSolver<MatrixD> eigen(w.sums[g].xxt);
        EXPECT_GT(eigen.eigenvalues().minCoeff(), 1e-6 * eigen.eigenvalues().maxCoeff());
        EXPECT_FALSE(scales_input && own.rows() == 130);
    }
}

TEST_P(CalibrationOfExperts, DownSumsAreFiniteAndLeanToo) {
    const ModelConfig config = test::with_feature(GetParam());
    const Walked w = walk_through(config, 130);
    for (std::size_t g = 0; g < w.groups.size(); ++g) {
        if (w.groups[g].kind != GroupKind::expert_down) continue;
        const MatrixD& own = w.want.group_input.back()[g];
        ASSERT_TRUE(w.sums[g].xxt.allFinite());
        EXPECT_GT(w.sums[g].xxt.trace(), 0);
        const MatrixD rest = w.sums[g].xxt - own.transpose() * own;
        if (own.rows() >= own.cols()) {
            EXPECT_LT(rest.norm(), 1e-4 * w.sums[g].xxt.norm());
        } else if (own.rows() > 0) {
            EXPECT_GT(rest.trace(), 0.1 * w.sums[g].xxt.trace());
        }
    }
}

// What the experts give is what the runtime's own mixture gives: later blocks see the same stream.
TEST_P(CalibrationOfExperts, TheStreamGoesOnAsInTheModel) {
    const ModelConfig config = test::with_feature(GetParam());
    const test::MemorySource source = test::random_model(config, 33);
    const auto ids = test::random_tokens(90, config.vocab_size, 34);
    const LanguageModel model(source, Precision::fp32, 90, {});
    Matrix hidden(90, config.hidden_size);
    model.forward(ids, nullptr, hidden.data());
    CalibrationWalk walk(source, {ids}, {}, {});
    for (Index l = 0; l < walk.layers(); ++l) walk.finish(l);
    Matrix normed(90, config.hidden_size);
    load_norm(source, config.final_norm, config.norm)
        .apply(walk.stream().data(), 90, normed.data(), kernels(active_isa()));
    EXPECT_LT((normed - hidden).cwiseAbs().maxCoeff(), 1e-4);
}

// Replaced weights of an expert are in force when its `down` is seen and when the block ends.
TEST(ExpertWalk, ReplacedWeightsOfAnExpertAct) {
    const ModelConfig config = test::with_feature(test::mixture_features().front());
    const test::MemorySource source = test::random_model(config, 35);
    const auto ids = test::random_tokens(90, config.vocab_size, 36);
    test::MemorySource changed = source;
    const auto groups = linear_groups(config, 0);
    CalibrationWalk walk(source, {ids}, {}, {});
    CalibrationWalk want(changed, {ids}, {}, {});
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (groups[g].kind != GroupKind::expert_gate_up || groups[g].expert != 2) continue;
        const TensorShape shape = source.shape(groups[g].names[0]);
        const Matrix w = test::random_matrix(shape.rows, shape.cols, 0.2, 37);
        HessianSum sum(groups[g].cols);
        walk.collect(0, static_cast<Index>(g), sum);
        walk.replace(groups[g].names[0], w);
        changed.tensors[groups[g].names[0]] = w;
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (groups[g].kind != GroupKind::expert_down) continue;
        HessianSum a(groups[g].cols);
        HessianSum b(groups[g].cols);
        walk.collect(0, static_cast<Index>(g), a);
        want.collect(0, static_cast<Index>(g), b);
        EXPECT_EQ(a.xxt, b.xxt);
    }
    walk.finish(0);
    want.finish(0);
    EXPECT_EQ(walk.stream(), want.stream());
}

// The drift of an expert's inputs is over the tokens that the quantized stream sends to it.
TEST(ExpertWalk, DriftIsNothingUntilAWeightIsReplaced) {
    const ModelConfig config = test::with_feature(test::mixture_features().front());
    const test::MemorySource source = test::random_model(config, 38);
    const auto ids = test::random_tokens(90, config.vocab_size, 39);
    for (const bool moved : {false, true}) {
        CalibrationWalk walk(source, {ids}, {.follow_original = true}, {});
        const auto groups = linear_groups(config, 0);
        if (moved) {
            const TensorShape shape = source.shape(groups[0].names[2]);
            walk.replace(groups[0].names[2], test::random_matrix(shape.rows, shape.cols, 0.1, 40));
        }
        for (std::size_t g = 0; g < groups.size(); ++g) {
            if (groups[g].expert != 1) continue;
            HessianSum sum(groups[g].cols);
            DriftSum drift;
            walk.collect(0, static_cast<Index>(g), sum, &drift);
            EXPECT_EQ(drift.input.norm() > 0, moved);
            EXPECT_EQ(drift.stream.size(), 0);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, CalibrationOfExperts, ::testing::ValuesIn(test::mixture_features()),
                         test::feature_name);

}  // namespace
}  // namespace vq
