// SPDX-License-Identifier: Apache-2.0
#include "vq/run/budget.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "vq/run/presets.h"
#include "vq/tensor/code_families.h"

namespace vq {
namespace {

/// SmolLM2-135M: 30 blocks of 576 with a 1536-wide MLP.
LayerShapes small_model() {
    return LayerShapes(
        30,
        {{576, 576}, {192, 576}, {192, 576}, {576, 576}, {1536, 576}, {1536, 576}, {576, 1536}});
}
LayerShapes large_model() {
    return LayerShapes(32, {{4096, 4096},
                            {4096, 4096},
                            {4096, 4096},
                            {4096, 4096},
                            {11008, 4096},
                            {11008, 4096},
                            {4096, 11008}});
}

double weights(const LayerShapes& shapes) {
    double n = 0;
    for (const auto& layer : shapes)
        for (const TensorShape& t : layer) n += static_cast<double>(t.rows * t.cols);
    return n;
}

TEST(Budget, PresetsFillTheBudgetAndNeverExceedIt) {
    for (const PresetInfo& preset : presets())
        for (const double budget : {2.3, 3.1, 4.1}) {
            Settings s = preset_settings(preset.name);
            const CodeFamily& family = family_of(s.code);
            const bool rates = family.rates(s.code).any();
            try {
                fit_budget(s, small_model(), budget);
            } catch (const Error&) {
                // Only where a group has values of its own, and three bits a weight besides.
                EXPECT_GT(s.code.dim, 32) << preset.name << " at " << budget;
                EXPECT_LT(budget, 3.3) << preset.name;
                continue;
            }
            const double bits = plan_scope(s, small_model()).bits / weights(small_model());
            EXPECT_LE(bits, budget) << preset.name;
            // Rates by column meet a budget to a column, as far as they reach; what has few sizes
            // may stay up to a bit below.
            const double most = rates ? family.rates(s.code).most.bits() : budget;
            const double room = rates && s.code.waterfill                           ? 0.02
                                : rates || s.code.dim == 1 || !family.has_codebooks ? 1.0
                                                                                    : 0.27;
            EXPECT_GT(bits, std::min(budget, most) - room) << preset.name << " at " << budget;
        }
}

TEST(Budget, ScaleGroupsWithoutAWidthAreRefused) {
    for (const char* method : {"gptq", "best", "rvq"}) {
        Settings s = preset_settings(method);
        s.scale = {ScaleLayout::Scope::group, 0};
        EXPECT_THROW(fit_budget(s, small_model(), 3.1), Error) << method;
    }
}

TEST(Budget, OneCodebookATensorCostsMoreThanItsCodesOnASmallModel) {
    Settings s = preset_settings("vptq");
    s.code.dim = 8;
    s.code.stage_bits = {16};
    s.code.scope = CodebookScope::tensor;
    const double own = plan_scope(s, small_model()).bits / weights(small_model());
    EXPECT_GT(own, 2.0 * 2.1);  // 2 bits of codes, far more than that for codebooks
    s.code.scope = CodebookScope::model;
    EXPECT_LT(plan_scope(s, small_model()).bits / weights(small_model()), 2.25);
}

TEST(Budget, AutomaticScopeGetsNarrowerAsModelsGrow) {
    Settings s = preset_settings("vptq");
    s.code.stage_bits = {12};
    s.code.outliers = 0;
    EXPECT_EQ(plan_scope(s, small_model()).scope, CodebookScope::model);
    EXPECT_EQ(plan_scope(s, large_model()).scope, CodebookScope::tensor);
}

TEST(Budget, WhatIsTooSmallIsRefusedWithTheLeastThatWouldDo) {
    for (const PresetInfo& preset : presets())
        for (const double budget : {0.25, 0.9, 2.0}) {
            std::string refusal;
            try {
                Settings s = preset_settings(preset.name);
                fit_budget(s, small_model(), budget);
                continue;
            } catch (const Error& error) {
                refusal = error.what();
            }
            const std::string before = "the least it can do here is ";
            const std::size_t at = refusal.find(before);
            ASSERT_NE(at, std::string::npos) << preset.name << ": " << refusal;
            const double least = std::stod(refusal.substr(at + before.size()));
            Settings s = preset_settings(preset.name);
            EXPECT_NO_THROW(fit_budget(s, small_model(), least)) << preset.name << ": " << refusal;
            s = preset_settings(preset.name);
            EXPECT_THROW(fit_budget(s, small_model(), least - 0.002), Error)
                << preset.name << ": " << refusal;
        }
    Settings s = preset_settings("bitmod");
    EXPECT_THROW(fit_budget(s, small_model(), 3.281), Error);  // 3.28125
    EXPECT_NO_THROW(fit_budget(s, small_model(), 3.282));
}

TEST(Budget, StageBitsGivenByHandStay) {
    Settings s = preset_settings("rvq");
    s.code.stage_bits = {5, 4};
    fit_budget(s, small_model(), 2.3);
    EXPECT_EQ(s.code.stage_bits, (std::vector<int>{5, 4}));
}

}  // namespace
}  // namespace vq
