// SPDX-License-Identifier: Apache-2.0
#include "vq/run/share_rates.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "vq/run/recipe.h"

namespace vq {
namespace {

using testing::HasSubstr;

/// Eight blocks of two layers, of which `down` has four times the weights.
std::vector<TensorPlan> tensors() {
    std::vector<TensorPlan> out;
    for (Index l = 0; l < 8; ++l) {
        const std::string block = "model.layers." + std::to_string(l) + ".";
        out.push_back({block + "self_attn.v_proj.weight", {256, 256}, PlanRole::linear, l, 0, {}});
        out.push_back({block + "mlp.down_proj.weight", {256, 1024}, PlanRole::linear, l, 1, {}});
    }
    return out;
}

ModelPlan cooked(const std::string& recipe, double bits, const std::string& method = "best") {
    ModelPlan plan = plan_preset(tensors(), method, {}, bits);
    if (recipe.empty()) return plan;
    plan = apply_recipe(parse_recipe(recipe, "r.yaml"), tensors(), std::move(plan));
    check_plan(plan);
    return plan;
}

double rate_of(const ModelPlan& plan, const std::string& part) {
    double rate = 0;
    double count = 0;
    for (const TensorPlan& t : plan.tensors)
        if (t.name.find(part) != std::string::npos) {
            rate += t.settings.code.rate;
            ++count;
        }
    return rate / count;
}

std::string fault(const std::string& recipe, const std::string& method = "best") {
    try {
        cooked(recipe, 0, method);
    } catch (const Error& error) {
        return error.what();
    }
    return "none";
}

TEST(ShareRates, BitsGoWhereErrorsCostMoreAndTheirSumStays) {
    for (const double bits : {2.25, 2.5, 3.0}) {
        const ModelPlan uniform = cooked("", bits);
        const ModelPlan shared = cooked("layers.*.v_proj: {importance: 4}\n", bits);
        const double budget = plan_size(uniform).linear_bits;
        EXPECT_LE(plan_size(shared).linear_bits, budget);
        EXPECT_GT(plan_size(shared).linear_bits, 0.998 * budget);
        // Four times the cost is worth a bit where columns are all alike; whole bits and the few
        // weights of v leave a little less or more.
        EXPECT_NEAR(rate_of(shared, "v_proj") - rate_of(shared, "down_proj"), 1, 0.25) << bits;
    }
}

TEST(ShareRates, TheTwoSidesOfAScaleAreTheSamePlan) {
    const ModelPlan more = cooked("layers.*.v_proj: {importance: 4}\n", 2.5);
    const ModelPlan less = cooked("layers.*.down_proj: {importance: 0.25}\n", 2.5);
    ASSERT_EQ(more.tensors.size(), less.tensors.size());
    for (std::size_t i = 0; i < more.tensors.size(); ++i)
        EXPECT_EQ(more.tensors[i].settings.code.rate, less.tensors[i].settings.code.rate);
}

TEST(ShareRates, TheSameImportanceEverywhereIsTheUniformPlan) {
    const ModelPlan shared = cooked("\"*\": {importance: 7}\n", 2.5);
    const ModelPlan uniform = cooked("", 2.5);
    for (const char* part : {"v_proj", "down_proj"})  // columns come in sixteens, of 256 the least
        EXPECT_NEAR(rate_of(shared, part), rate_of(uniform, part), 1.0 / 16) << part;
}

TEST(ShareRates, RatesStayInsideTheRange) {
    const ModelPlan shared = cooked("layers.*.v_proj: {importance: 1e6}\n", 2.0);
    EXPECT_LE(plan_size(shared).bits_per_weight(), 2.0 + 1e-9);
    EXPECT_GT(rate_of(shared, "v_proj"), 3.9);
    EXPECT_GE(rate_of(shared, "down_proj"), 1);
}

TEST(ShareRates, WhatIsGivenKeepsItsRate) {
    const ModelPlan shared = cooked(
        "layers.*.v_proj: {importance: 4}\n"
        "layers.0.mlp.down_proj: {code.rate: 3}\n",
        2.5);
    EXPECT_EQ(rate_of(shared, "layers.0.mlp.down_proj"), 3);
    EXPECT_LT(rate_of(shared, "layers.1.mlp.down_proj"), 2.5);
}

TEST(ShareRates, ImportanceOfWhatSharesNoBitsIsRefused) {
    EXPECT_THAT(fault("layers.*.v_proj: {importance: 4}\n", "rvq"), HasSubstr("without rates"));
    EXPECT_THAT(fault("layers.*.v_proj: {importance: 4, code.rate: 3}\n"),
                HasSubstr("settings of its own"));
    EXPECT_THAT(fault("layers.*.v_proj: {importance: 4, method: qtip}\n"),
                HasSubstr("settings of its own"));
    EXPECT_THAT(fault("layers.*.v_proj: {importance: 4, method: best}\n", "rvq"),
                HasSubstr("settings of its own"));
    EXPECT_THAT(fault("layers.*.v_proj: {importance: 0}\n"), HasSubstr("importance: 0"));
    EXPECT_THAT(fault("layers.*.v_proj: {importance: nan}\n"), HasSubstr("importance: nan"));
}

}  // namespace
}  // namespace vq
