// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "base/error.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

std::string message(const std::string& assignment) {
    Settings s;
    try {
        set_setting(s, assignment);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

TEST(Settings, EverySettingCanBeSetToWhatItReports) {
    Settings s = preset_settings("rvq");
    s.code.stage_bits = {9, 9};
    const Json before = settings_json(s);
    for (const SettingInfo& info : describe_settings(s)) {
        EXPECT_FALSE(info.help.empty()) << info.name;
        set_setting(s, info.name, info.value);
    }
    EXPECT_EQ(settings_json(s), before);
}

TEST(Settings, EveryNumberAndWordChangesTheSettings) {
    Settings s;
    s.code.stage_bits = {8};
    for (const SettingInfo& info : describe_settings(s)) {
        Settings changed = s;
        const bool moved = [&] {
            for (const char* value :
                 {"on", "off", "1", "2", "0.25", "none", "both", "joint", "identity", "outputs",
                  "model", "forward", "group", "trellis", "nf", "16", "4+4", "fp16"}) {
                try {
                    set_setting(changed, info.name, value);
                } catch (const Error&) {
                    continue;
                }
                if (settings_json(changed) != settings_json(s)) return true;
            }
            return false;
        }();
        EXPECT_TRUE(moved) << info.name;
    }
}

// Nothing is there just in case.
TEST(Settings, EachIsChangedByAPresetOrHasAReasonOnThePage) {
    std::set<std::string> used;
    const std::vector<SettingInfo> defaults = describe_settings({});
    for (const PresetInfo& preset : presets()) {
        const std::vector<SettingInfo> own = describe_settings(preset_settings(preset.name));
        for (std::size_t i = 0; i < own.size(); ++i)
            if (own[i].value != defaults[i].value) used.insert(own[i].name);
    }
    std::ifstream file(std::string(VQKIT_MODELS) + "/../docs/methods.md");
    const std::string page{std::istreambuf_iterator<char>(file), {}};
    const std::size_t from = page.find("## Settings that no preset changes");
    ASSERT_NE(from, std::string::npos);
    const std::string reasons = page.substr(from, page.find("\n## ", from + 1) - from);
    for (const SettingInfo& info : defaults) {
        const bool reason = reasons.find("`" + info.name + "`") != std::string::npos;
        EXPECT_TRUE(reason || used.count(info.name) > 0) << info.name;
    }
}

TEST(Settings, ErrorsNameTheKeyTheValueAndWhatIsAllowed) {
    EXPECT_THAT(message("feedback.order=sideways"),
                testing::AllOf(testing::HasSubstr("feedback.order=sideways"),
                               testing::HasSubstr("backward")));
    EXPECT_THAT(message("encoder.beam=0"), testing::HasSubstr("from 1 to 64"));
    EXPECT_THAT(message("encoder.beam=8x"), testing::HasSubstr("encoder.beam=8x"));
    EXPECT_THAT(message("objective.damping=nan"), testing::HasSubstr("nan"));
    EXPECT_THAT(message("no.such=1"), testing::HasSubstr("unknown setting"));
    EXPECT_THAT(message("refine.rounds"), testing::HasSubstr("part.key=value"));
    EXPECT_THAT(message("code.stage_bits=9+"), testing::HasSubstr("code.stage_bits=9+"));
    EXPECT_THAT(message("code.stage_bits=17"), testing::HasSubstr("1 to 16"));
    EXPECT_THAT(message("code.stage_bits="), testing::HasSubstr("1 to 16"));
}

TEST(Settings, CombinationsThatCannotWorkAreRefused) {
    Settings s = preset_settings("rvq");
    EXPECT_THROW(check_settings(s), Error);  // no bits yet
    s.code.stage_bits = {9, 9};
    EXPECT_NO_THROW(check_settings(s));
    s.block = 12;
    EXPECT_THROW(check_settings(s), Error);
    s.block = 16;
    EXPECT_NO_THROW(check_settings(s));
    s.code.outliers = 0.01;
    EXPECT_THROW(check_settings(s), Error);
    s = preset_settings("rvq");
    s.code.stage_bits = {9, 9};
    s.scale = {ScaleLayout::Scope::group, 0};
    EXPECT_THROW(check_settings(s), Error);
    s.scale.group = 20;
    EXPECT_THROW(check_settings(s), Error);
    s.scale.group = 64;
    EXPECT_NO_THROW(check_settings(s));
    s.scale.scope = ScaleLayout::Scope::row;  // a width that nothing would use
    EXPECT_THROW(check_settings(s), Error);
    s = preset_settings("gptvq");
    s.code.stage_bits = {9};
    s.transform.permute = true;
    s.code.outliers = 0.05;
    EXPECT_NO_THROW(check_settings(s));
    s.code.outlier_dim = 8;  // a feedback block of 4 holds no such vector
    EXPECT_THROW(check_settings(s), Error);
    s.block = 8;
    EXPECT_NO_THROW(check_settings(s));
    s.scale = {ScaleLayout::Scope::group, 12};  // and neither does a scale group of 12
    EXPECT_THROW(check_settings(s), Error);
    s = preset_settings("vptq");
    s.code.stage_bits = {12};
    s.scale_search = 4;
    EXPECT_THROW(check_settings(s), Error);
    s = preset_settings("bitmod");
    EXPECT_THROW(check_settings(s), Error);  // no bits yet
    s.code.stage_bits = {3};
    EXPECT_NO_THROW(check_settings(s));
    s.code.along = Along::outputs;
    EXPECT_THROW(check_settings(s), Error);
    s = preset_settings("bitmod");
    s.code.stage_bits = {2};
    EXPECT_THROW(check_settings(s), Error);
    s = preset_settings("cvxq-grid");
    EXPECT_THROW(check_settings(s), Error);
    s.code.rate = 8;
    EXPECT_NO_THROW(check_settings(s));
    s.code.grid = Grid::floating;  // 2 to 6 bits
    EXPECT_THROW(check_settings(s), Error);
    s.code.rate = 6;
    EXPECT_NO_THROW(check_settings(s));
    s.code.scope = CodebookScope::tensor;
    EXPECT_THROW(check_settings(s), Error);
    s = {};
    s.code.kind = "bytes";
    s.code.stage_bits = {8};
    EXPECT_THROW(check_settings(s), Error);  // groups of 8
    s.code.dim = 32;
    EXPECT_NO_THROW(check_settings(s));
    s.scale_search = 4;  // each group has a scale already
    EXPECT_THROW(check_settings(s), Error);
    s.scale_search = 0;
    s.scale.scope = ScaleLayout::Scope::row;
    EXPECT_THROW(check_settings(s), Error);
    s = {};
    s.code.kind = "no such family";
    EXPECT_THROW(check_settings(s), Error);
}

}  // namespace
}  // namespace vq
