// SPDX-License-Identifier: Apache-2.0
#include "vq/run/recipe.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace vq {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Two blocks, an embedding and a head.
std::vector<TensorPlan> tensors() {
    std::vector<TensorPlan> out;
    for (Index l = 0; l < 2; ++l)
        for (const char* name : {"self_attn.q_proj", "mlp.down_proj"})
            out.push_back({"model.layers." + std::to_string(l) + "." + name + ".weight",
                           {128, 128},
                           PlanRole::linear,
                           l,
                           std::string(name).starts_with("mlp") ? 1 : 0,
                           {}});
    out.push_back({"model.embed_tokens.weight", {1000, 128}, PlanRole::embedding, -1, -1, {}});
    out.push_back({"lm_head.weight", {1000, 128}, PlanRole::embedding, -1, -1, {}, true});
    return out;
}

ModelPlan cooked(const std::string& text, const std::string& method = "best",
                 const std::vector<std::string>& set = {}) {
    const ModelPlan plan = plan_preset(tensors(), method, set, 2.5);
    ModelPlan out = apply_recipe(parse_recipe(text, "r.yaml"), tensors(), plan);
    check_plan(out);
    return out;
}

const Settings& of(const ModelPlan& plan, const std::string& name) {
    for (const TensorPlan& t : plan.tensors)
        if (t.name == name) return t.settings;
    throw std::out_of_range(name);
}

std::string fault(const std::string& text) {
    try {
        cooked(text);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

double bits_of(const ModelPlan& plan, const std::string& name) {
    for (const TensorPlan& t : plan.tensors)
        if (t.name == name)
            return planned_bits(t) / static_cast<double>(t.shape.rows * t.shape.cols);
    return 0;
}

const std::string q0 = "model.layers.0.self_attn.q_proj.weight";
const std::string q1 = "model.layers.1.self_attn.q_proj.weight";
const std::string down0 = "model.layers.0.mlp.down_proj.weight";
const std::string down1 = "model.layers.1.mlp.down_proj.weight";

TEST(Recipe, NamesMatchInFullAndInShort) {
    for (const char* pattern :
         {"*", "model.layers.0.*", "layers.0.mlp.down_proj", "layers.*.mlp.down_proj.weight",
          "*down*", "model.*.down_proj", "layers.0.mlp.down_proj*"})
        EXPECT_TRUE(matches_name(pattern, down0)) << pattern;
    for (const char* pattern : {"layers.1.*", "down_proj", "layers.0", "*.bias", ""})
        EXPECT_FALSE(matches_name(pattern, down0)) << pattern;
}

TEST(Recipe, TheOrderInsideALineIsNoDifference) {
    for (const char* text : {"layers.0.mlp.down_proj: {bits: 4.5, method: gptq}\n",
                             "layers.0.mlp.down_proj: {method: gptq, bits: 4.5}\n"}) {
        const ModelPlan plan = cooked(text);
        EXPECT_EQ(of(plan, down0).method, "gptq");
        EXPECT_NEAR(bits_of(plan, down0), 4.2, 0.3) << text;
        EXPECT_GT(bits_of(plan, down0), 4.05) << text;
    }
}

TEST(Recipe, LaterLinesGoOverEarlierOnes) {
    const ModelPlan plan = cooked(
        "layers.*.mlp.down_proj: {code.rate: 3, objective.damping: 0.5}\n"
        "layers.1.*:\n"
        "  code: {rate: 2}\n");
    EXPECT_EQ(of(plan, down0).code.rate, 3);
    EXPECT_EQ(of(plan, down0).damping, 0.5);
    EXPECT_EQ(of(plan, down1).code.rate, 2);
    EXPECT_EQ(of(plan, down1).damping, 0.5);
    EXPECT_EQ(of(plan, q1).code.rate, 2);
    const ModelPlan before = plan_preset(tensors(), "best", {}, 2.5);
    EXPECT_EQ(settings_json(of(plan, q0)), settings_json(of(before, q0)));
    EXPECT_EQ(plan.tensors.size(), before.tensors.size());
}

TEST(Recipe, MethodsAndBitsOfATensor) {
    const ModelPlan plan = cooked(
        "layers.0.self_attn.q_proj: {method: gptq}\n"
        "layers.1.self_attn.q_proj: {method: gptq, bits: 3.4}\n"
        "layers.0.mlp.down_proj: {bits: 3.5}\n"
        "layers.1.mlp.down_proj: {code.kind: e8p, code.along: inputs, bits: 3.3}\n");
    EXPECT_EQ(of(plan, q0).method, "gptq");
    EXPECT_EQ(of(plan, q0).code.stage_bits, std::vector<int>{3});  // scales and order cost .25
    EXPECT_EQ(of(plan, q1).code.stage_bits, std::vector<int>{3});
    EXPECT_NEAR(bits_of(plan, down0), 3.5, 0.13);
    EXPECT_LE(bits_of(plan, down0), 3.5);
    EXPECT_EQ(of(plan, down1).code.stage_bits, (std::vector<int>{16, 8}));
}

TEST(Recipe, TablesHaveWordsOfTheirOwn) {
    const ModelPlan plan = cooked("embedding: {embedding.bits: 3}\nhead: {bits: 4}\n");
    EXPECT_EQ(of(plan, "model.embed_tokens.weight").code.kind, "trellis");
    EXPECT_EQ(of(plan, "model.embed_tokens.weight").objective, Objective::identity);
    EXPECT_LE(bits_of(plan, "model.embed_tokens.weight"), 3);
    EXPECT_GT(bits_of(plan, "lm_head.weight"), 3.7);
    EXPECT_EQ(of(plan, "lm_head.weight").objective, Objective::full);
    // A table that is kept dense is none of the plan's tensors, and can become one.
    const ModelPlan dense = cooked("embedding: {embedding.code: fp16}\n");
    EXPECT_EQ(dense.tensors.size(), 5U);
    EXPECT_EQ(
        cooked("head: {embedding.code: int8}\n", "best", {"embedding.code=fp16"}).tensors.size(),
        5U);
}

TEST(Recipe, FaultsNameTheLine) {
    EXPECT_THAT(fault("\nlayers.7.*: {bits: 2}\n"),
                AllOf(HasSubstr("r.yaml: line 2"), HasSubstr("layers.7.*")));
    EXPECT_THAT(fault("'*':\n  code.rate: 2\n  code.speed: 3\n"),
                AllOf(HasSubstr("r.yaml: line 3"), HasSubstr("code.speed")));
    EXPECT_THAT(fault("'*': {code.rate: fast}\n"),
                AllOf(HasSubstr("line 1"), HasSubstr("code.rate=fast")));
    EXPECT_THAT(fault("'*': {bits: 99}\n"), HasSubstr("line 1: bits: 99"));
    EXPECT_THAT(fault("'*': {method: worst}\n"), HasSubstr("worst"));
    EXPECT_THAT(fault("layers.0.*: {embedding.bits: 3}\n"), HasSubstr("line 1: embedding.bits"));
    EXPECT_THAT(fault("layers.0.*: {scale.scope: group}\n"),
                AllOf(HasSubstr("line 1"), HasSubstr("a scale group needs a width")));
    EXPECT_THAT(fault("- a\n"), HasSubstr("a recipe is a mapping"));
    EXPECT_THAT(fault("a: 3\n"), HasSubstr("line 1"));
    EXPECT_THAT(fault("a: {b: [1]}\n"), HasSubstr("a setting has no value"));
    EXPECT_THAT(fault("a: {b: 1\n"), HasSubstr("not YAML: r.yaml: line"));
    EXPECT_THAT(fault(""), HasSubstr("a recipe is a mapping"));
}

TEST(Recipe, SaysWhatItSaid) {
    const Recipe recipe = parse_recipe("'*': {code: {rate: 2}}\nhead: {bits: 4}\n", "r.yaml");
    EXPECT_EQ(recipe_json(recipe).dump(), R"([{"pattern":"*","settings":{"code.rate":"2"}},)"
                                          R"({"pattern":"head","settings":{"bits":"4"}}])");
}

}  // namespace
}  // namespace vq
