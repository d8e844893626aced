// SPDX-License-Identifier: Apache-2.0
#include "vq/run/presets.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "vq/tensor/stored_tensor.h"

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

TEST(Presets, FillTheBudgetAndNeverExceedIt) {
    for (const PresetInfo& preset : presets())
        for (const double budget : {2.3, 3.1, 4.1}) {
            Settings s = preset_settings(preset.name);
            if (s.code.kind == "bitmod" && budget < 3 + 18.0 / 64) {
                EXPECT_THROW(fit_budget(s, small_model(), budget), Error);
                continue;
            }
            fit_budget(s, small_model(), budget);
            const double bits = plan_scope(s, small_model()).bits / weights(small_model());
            EXPECT_LE(bits, budget) << preset.name;
            const bool grid = s.code.kind == "grid";
            const bool whole = !grid && (s.code.dim == 1 || s.code.kind == "e8p" ||
                                         s.code.kind == "bitmod" || !s.code.waterfill);
            EXPECT_GT(bits, budget - (grid    ? 0.005
                                      : whole ? 1.0
                                              : 0.27))
                << preset.name << " at " << budget;
        }
}

TEST(Presets, ScaleGroupsWithoutAWidthAreRefused) {
    for (const char* method : {"gptq", "best", "rvq"}) {
        Settings s = preset_settings(method);
        s.scale = {ScaleLayout::Scope::group, 0};
        EXPECT_THROW(fit_budget(s, small_model(), 3.1), Error) << method;
    }
}

TEST(Presets, OneCodebookATensorCostsMoreThanItsCodesOnASmallModel) {
    Settings s = preset_settings("vptq");
    s.code.dim = 8;
    s.code.stage_bits = {16};
    s.code.scope = CodebookScope::tensor;
    const double own = plan_scope(s, small_model()).bits / weights(small_model());
    EXPECT_GT(own, 2.0 * 2.1);  // 2 bits of codes, far more than that for codebooks
    s.code.scope = CodebookScope::model;
    EXPECT_LT(plan_scope(s, small_model()).bits / weights(small_model()), 2.25);
}

TEST(Presets, AutomaticScopeGetsNarrowerAsModelsGrow) {
    Settings s = preset_settings("vptq");
    s.code.stage_bits = {12};
    s.code.outliers = 0;
    EXPECT_EQ(plan_scope(s, small_model()).scope, CodebookScope::model);
    EXPECT_EQ(plan_scope(s, large_model()).scope, CodebookScope::tensor);
}

TEST(Presets, UnknownNamesAndTinyBudgetsAreRefused) {
    EXPECT_THROW(preset_settings("magic"), Error);
    Settings s = preset_settings("gptq");
    EXPECT_THROW(fit_budget(s, small_model(), 0.5), Error);
}

TEST(Presets, TheLeastBudgetThatARefusalNamesIsEnough) {
    for (const PresetInfo& preset : presets()) {
        std::string todo;
        try {
            Settings s = preset_settings(preset.name);
            // Below one bit there is nothing to name for codes whose size is given.
            fit_budget(s, small_model(), 1.0);
            continue;
        } catch (const Error& error) {
            todo = error.what();
        }
        const std::string before = "the least it can do here is ";
        const std::size_t at = todo.find(before);
        if (at == std::string::npos) continue;
        const double least = std::stod(todo.substr(at + before.size()));
        Settings s = preset_settings(preset.name);
        EXPECT_NO_THROW(fit_budget(s, small_model(), least)) << preset.name << ": " << todo;
    }
    Settings s = preset_settings("bitmod");
    EXPECT_THROW(fit_budget(s, small_model(), 3.281), Error);  // 3.28125
    EXPECT_NO_THROW(fit_budget(s, small_model(), 3.282));
}

TEST(Presets, StageBitsGivenByHandStay) {
    Settings s = preset_settings("rvq");
    s.code.stage_bits = {5, 4};
    fit_budget(s, small_model(), 2.3);
    EXPECT_EQ(s.code.stage_bits, (std::vector<int>{5, 4}));
}

}  // namespace
}  // namespace vq
