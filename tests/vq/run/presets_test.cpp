// SPDX-License-Identifier: Apache-2.0
#include "vq/run/presets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "vq/run/budget.h"

namespace vq {
namespace {

using testing::HasSubstr;

TEST(Presets, EachIsARowWithANameOfItsOwn) {
    std::set<std::string> names;
    for (const PresetInfo& preset : presets()) {
        EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
        EXPECT_FALSE(preset.paper.empty()) << preset.name;
        EXPECT_FALSE(preset.summary.empty()) << preset.name;
        EXPECT_EQ(&find_preset(preset.name), &preset);
        EXPECT_EQ(preset_settings(preset.name).method, preset.name);
    }
}

TEST(Presets, UnknownNamesAreRefusedWithTheKnownOnes) {
    try {
        preset_settings("magic");
        FAIL();
    } catch (const Error& error) {
        for (const PresetInfo& preset : presets())
            EXPECT_THAT(error.what(), HasSubstr(preset.name));
    }
}

// SmolLM2-135M, and a model so small that scales and codebooks weigh most.
TEST(Presets, DefaultBudgetsAreEnoughForSmallModels) {
    const std::vector<TensorShape> smol = {{576, 576},  {192, 576},  {192, 576}, {576, 576},
                                           {1536, 576}, {1536, 576}, {576, 1536}};
    const std::vector<TensorShape> tiny = {{128, 128}, {64, 128},  {64, 128}, {128, 128},
                                           {384, 128}, {384, 128}, {128, 384}};
    for (const LayerShapes& shapes : {LayerShapes(30, smol), LayerShapes(4, tiny)})
        for (const PresetInfo& preset : presets()) {
            Settings s = preset_settings(preset.name);
            EXPECT_NO_THROW(fit_budget(s, shapes, preset.bits)) << preset.name;
            EXPECT_NO_THROW(check_settings(s)) << preset.name;
        }
}

}  // namespace
}  // namespace vq
