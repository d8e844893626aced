// SPDX-License-Identifier: Apache-2.0
#include "model/session/expert_report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "model/calibration.h"
#include "model/session/quantize_model.h"
#include "tests/model/feature_models.h"
#include "vq/run/presets.h"

namespace vq {
namespace {

TEST(ExpertReport, CountsTokensAndNamesTheExpertsThatSawFew) {
    const ExpertReport r = expert_report(3, {50, 7, 0, 12, 9}, 10);
    EXPECT_EQ(r.layer, 3);
    EXPECT_EQ(r.experts, 5);
    EXPECT_EQ(r.least, 0);
    EXPECT_EQ(r.median, 9);
    EXPECT_EQ(r.most, 50);
    EXPECT_EQ(r.under, (std::vector<Index>{1, 2, 4}));
    EXPECT_EQ(expert_line(r),
              "layer 3: experts saw 0 to 50 tokens, 9 in the middle; fewer than 10 (their Hessians "
              "lean on all tokens): 1, 2, 4");
    EXPECT_EQ(expert_line(expert_report(0, {11, 12}, 10)),
              "layer 0: experts saw 11 to 12 tokens, 12 in the middle");
    EXPECT_NE(expert_line(expert_report(0, {1, 2}, 10)).find(": all"), std::string::npos);
}

// A whole run over a mixture of which two thirds of the experts see nothing: nobody is quantized
// under the identity, and all of it can be read back.
TEST(ExpertReport, ExpertsThatNobodyVisitsAreQuantizedByTheLayersInputs) {
    const ModelConfig config = test::with_feature(test::mixture_features().back());
    const test::MemorySource source = test::random_model(config, 51);
    CalibrationWalk walk(source, {test::random_tokens(30, config.vocab_size, 52)}, {}, {});
    Settings settings = preset_settings("rvq");
    settings.code.stage_bits = {8, 8};
    const ModelPlan plan = uniform_plan(model_tensors(source), settings);
    const std::string file = (std::filesystem::temp_directory_path() /
                              ("vqkit_expert_report_" + std::to_string(::getpid()) + ".vq.h5"))
                                 .string();
    StoreMeta meta;
    meta.fingerprint = "experts";
    meta.config_json = config.hf_json;
    meta.provenance = Json::object();
    StoreWriter writer(file, "experts", false);
    std::vector<std::string> lines;
    Progress progress;
    progress.note = [&](const std::string& line) { lines.push_back(line); };
    const QuantizeReport report =
        quantize_model(source, {&walk, true, {}}, plan, 1, meta, writer, progress);
    std::filesystem::remove(file);
    ASSERT_EQ(report.experts.size(), 1U);  // the first block is dense
    EXPECT_EQ(report.experts[0].layer, 1);
    EXPECT_EQ(report.experts[0].experts, 40);
    EXPECT_EQ(report.experts[0].least, 0);
    EXPECT_FALSE(report.experts[0].under.empty());
    for (const TensorReport& t : report.tensors) {
        EXPECT_FALSE(t.never_seen) << t.name;
        EXPECT_LT(t.rel_proxy, 0.5) << t.name;
    }
    EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
        return line.starts_with("layer 1: experts saw 0 to ");
    }));
}

}  // namespace
}  // namespace vq
