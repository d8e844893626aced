// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_grid.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/files/yaml.h"
#include "model/session/sweep_point.h"
#include "model/session/sweep_results.h"

namespace vq {
namespace {

const std::vector<GridAxis> two_axes = {{"method", {"a", "b"}}, {"bits", {2, 3, 4}}};

TEST(Grid, EveryCombinationOnceTheLastAxisFastest) {
    const std::vector<Json> all = expand_grid(two_axes, {}, {}, "x");
    ASSERT_EQ(all.size(), 6U);
    EXPECT_EQ(all[0], Json({{"method", "a"}, {"bits", 2}}));
    EXPECT_EQ(all[1], Json({{"method", "a"}, {"bits", 3}}));
    EXPECT_EQ(all[5], Json({{"method", "b"}, {"bits", 4}}));
    EXPECT_EQ(expand_grid({{"seed", {1, 1, 2}}}, {}, {}, "x").size(), 2U);
}

TEST(Grid, ExcludedIsWhatHasAllThatARuleNames) {
    const auto left = [](const std::vector<Json>& rules) {
        return expand_grid(two_axes, rules, {}, "x").size();
    };
    EXPECT_EQ(left({{{"method", "a"}, {"bits", 2}}}), 5U);
    EXPECT_EQ(left({{{"method", "a"}}}), 3U);
    EXPECT_EQ(left({{{"bits", Json::array({2, 3})}}}), 2U);
    EXPECT_EQ(left({{{"method", "a"}}, {{"method", "b"}, {"bits", 4}}}), 2U);
    EXPECT_THROW(left({{{"bits", 7}}}), Error);  // mistyped, or meant for another grid
    EXPECT_THROW(left({{{"seed", 1}}}), Error);
}

TEST(Grid, TheOrderOfKeysIsNoDifference) {
    const std::vector<GridAxis> axes = {
        {"calibration", {{{"text", "a"}, {"tokens", 10}}, {{"text", "b"}, {"tokens", 10}}}}};
    const Json rule = {{"calibration", {{"tokens", 10}, {"text", "a"}}}};
    EXPECT_EQ(expand_grid(axes, {rule}, {}, "x").size(), 1U);
    EXPECT_EQ(expand_grid(axes, {}, {rule}, "x").size(), 2U);  // there already
}

TEST(Grid, IncludedTakesFromTheGridWhatItDoesNotName) {
    const auto with = [](const Json& entry) { return expand_grid(two_axes, {}, {entry}, "x"); };
    EXPECT_EQ(with({{"method", "c"}}).size(), 9U);
    EXPECT_EQ(with({{"method", "c"}, {"bits", 2}}).back(), Json({{"method", "c"}, {"bits", 2}}));
    EXPECT_EQ(with({{"method", "c"}, {"bits", Json::array({1, 5})}}).size(), 8U);
    EXPECT_EQ(with({{"method", "a"}, {"bits", 2}}).size(), 6U);  // there already
    const Json more = with({{"method", "a"}, {"bits", 2}, {"set.x", 9}}).back();
    EXPECT_EQ(more["set.x"], 9);
    EXPECT_EQ(
        expand_grid(two_axes, {{{"method", "a"}}}, {{{"method", "a"}, {"bits", 2}}}, "x").size(),
        4U);
}

/// A description with a model and a text, unless `more` names its own.
SweepSpec spec_of(const std::string& more) {
    Json json = parse_yaml("model: m\ncalibration: c.txt\n", "a.yaml");
    json.update(parse_yaml(more, "a.yaml"));
    return parse_sweep(json, "a.yaml");
}

TEST(SweepSpec, AxesOfSettingsAndTextsCross) {
    const SweepSpec spec = spec_of(
        "method: [rvq, gptq]\nset: {refine.rounds: [1, 2], feedback.order: forward}\n"
        "calibration: [{text: [a, b], tokens: 100}, {text: a, ctx: 64}]\n"
        "include: {method: best, set: {refine.rounds: 0}}\n");
    ASSERT_EQ(spec.points.size(), 10U);
    const SweepPoint& first = spec.points.front();
    EXPECT_EQ(first.method, "rvq");
    EXPECT_FALSE(first.bits);
    EXPECT_EQ(first.calibration.paths, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(first.calibration.tokens, 100);
    EXPECT_EQ(first.assignments(),
              (std::vector<std::string>{"refine.rounds=1", "feedback.order=forward"}));
    EXPECT_EQ(spec.points[4].calibration.ctx, 64);
    EXPECT_EQ(spec.points.back().method, "best");
    EXPECT_EQ(spec.points.back().set.front().second, "0");
}

TEST(SweepSpec, AHessianFileNeedsNoText) {
    const SweepSpec spec =
        parse_sweep(parse_yaml("model: m\nhessians: h.h5\n", "a.yaml"), "a.yaml");
    EXPECT_TRUE(spec.points.front().hessians_from_file());
    EXPECT_EQ(quantize_command(spec.points.front(), "fp32", "out.vq.h5"),
              "vq quantize m -o out.vq.h5 --method best --hessians h.h5 --seed 0");
}

TEST(SweepPoint, NamesChangeWithContentAndNotWithPaths) {
    const SweepSpec spec = spec_of("bits: 3\nevaluation: {text: t.txt}\n");
    const PointInputs inputs = {"m", "c", "t", "fp32"};
    const auto names = [&](const std::string& more, const PointInputs& of) {
        const SweepSpec other = spec_of("evaluation: {text: t.txt}\n" + more);
        return point_names(other.points.front(), other.evaluation, of);
    };
    const PointNames own = point_names(spec.points.front(), spec.evaluation, inputs);
    EXPECT_EQ(own.point.size(), 16U);
    EXPECT_EQ(names("bits: 3\n", inputs).point, own.point);
    EXPECT_EQ(names("bits: 3\nmodel: elsewhere\n", inputs).point, own.point);
    for (const char* more : {"bits: 3.5\n", "bits: 3\nseed: 1\n", "bits: 3\nmethod: rvq\n",
                             "bits: 3\nset: {refine.rounds: 9}\n", "bits: 3\nhessians: original\n",
                             "bits: 3\ncalibration: {text: c.txt, tokens: 5}\n"})
        EXPECT_NE(names(more, inputs).store, own.store) << more;
    for (const PointInputs& other :
         {PointInputs{"x", "c", "t", "fp32"}, PointInputs{"m", "x", "t", "fp32"},
          PointInputs{"m", "c", "t", "bf16"}})
        EXPECT_NE(names("bits: 3\n", other).store, own.store);
    const PointNames other_text = names("bits: 3\n", {"m", "c", "x", "fp32"});
    EXPECT_EQ(other_text.store, own.store);
    EXPECT_NE(other_text.point, own.point);
}

TEST(SweepPoint, CommandsAreQuotedForAShell) {
    SweepPoint point = spec_of("bits: 3\n").points.front();
    point.model = "my models/it's";
    EXPECT_EQ(quantize_command(point, "fp32", "o"),
              "vq quantize 'my models/it'\\''s' -o o --method best --bits 3 --calib c.txt "
              "--calib-tokens 32768 --precision fp32 --hessians quantized --seed 0");
    EXPECT_EQ(quantize_provenance(point, "bf16").substr(0, 27), "vq quantize my models/it's ");
}

TEST(Results, CellsWithCommasAndQuotesAreQuoted) {
    const Json row = {{"point", "p"},         {"model", "a,b"}, {"method", "m"},
                      {"bits", nullptr},      {"seed", 1},      {"set", Json::object()},
                      {"error", "say \"no\""}};
    const std::string csv = results_csv({row});
    EXPECT_EQ(csv.substr(0, 13), "point,model,m");
    EXPECT_NE(csv.find("\np,\"a,b\",m,,1,"), std::string::npos);
    EXPECT_NE(csv.find("\"say \"\"no\"\"\""), std::string::npos);
}

}  // namespace
}  // namespace vq
