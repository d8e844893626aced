// SPDX-License-Identifier: Apache-2.0
#include "vq/run/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/error.h"
#include "vq/run/budget.h"

namespace vq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Two blocks of two layers with one input, and an embedding.
std::vector<TensorPlan> tensors() {
    std::vector<TensorPlan> out;
    for (Index l = 0; l < 2; ++l)
        for (const char* name : {"q", "k"})
            out.push_back({"layers." + std::to_string(l) + "." + name,
                           {64, 128},
                           PlanRole::linear,
                           l,
                           0,
                           {}});
    out.push_back({"embed", {1000, 128}, PlanRole::embedding, -1, -1, {}});
    return out;
}

TEST(Plan, PresetGivesEveryLinearLayerTheSameCompleteSettings) {
    const ModelPlan plan = plan_preset(tensors(), "rvq", {"refine.rounds=3"}, 3);
    ASSERT_EQ(plan.tensors.size(), 5U);
    for (std::size_t i = 0; i < 4; ++i) {
        const Settings& s = plan.tensors[i].settings;
        EXPECT_EQ(s.method, "rvq");
        EXPECT_EQ(s.refine.rounds, 3);
        EXPECT_FALSE(s.code.stage_bits.empty());
        EXPECT_EQ(s.code.scope, CodebookScope::universal);
    }
    check_plan(plan);
    EXPECT_EQ(plan.scope, CodebookScope::universal);
    EXPECT_STREQ(scope_name(plan.scope), "universal");
}

TEST(Plan, BitsCountTheLinearLayersAndTheirCodebooksOnce) {
    for (const char* method : {"rvq", "best", "gptvq", "awq", "cvxq-grid", "pb-llm"}) {
        const ModelPlan plan = plan_preset(tensors(), method, {}, 4);
        const PlanSize size = plan_size(plan);
        EXPECT_EQ(size.linear_weights, 4 * 64 * 128);
        const LayerShapes shapes(2, {{64, 128}, {64, 128}});
        EXPECT_EQ(size.linear_bits, plan_scope(plan.settings, shapes).bits) << method;
        EXPECT_LE(size.bits_per_weight(), 4) << method;
        double bits = 0;
        for (const TensorPlan& t : plan.tensors)
            if (t.role == PlanRole::linear) bits += planned_bits(t);
        for (const SharingGroup& group : sharing_groups(plan)) {
            EXPECT_EQ(group.weights * group.share(), group.bits);
            bits += group.bits;
        }
        EXPECT_EQ(bits, size.linear_bits) << method;
    }
}

TEST(Plan, EmbeddingsAreCodedInBytesOrLeftOut) {
    const ModelPlan bytes = plan_preset(tensors(), "best", {}, 2.5);
    ASSERT_EQ(bytes.tensors.size(), 5U);
    EXPECT_EQ(bytes.tensors.back().name, "embed");
    // An fp16 scale and 32 bytes for 32 weights, and the tensor's scale.
    EXPECT_EQ(plan_size(bytes).embedding_bits, 8.5 * 1000 * 128 + 32);
    const ModelPlan dense = plan_preset(tensors(), "best", {"embedding.code=fp16"}, 2.5);
    EXPECT_EQ(dense.tensors.size(), 4U);
    EXPECT_EQ(plan_size(dense).embedding_bits, 0);
    EXPECT_EQ(plan_size(dense).linear_bits, plan_size(bytes).linear_bits);
}

TEST(Plan, EmbeddingBitsAreMetFromBelowByCodesOfWhichARowDecodesAlone) {
    for (const double bits : {2.0, 3.0, 3.6, 4.0, 5.0, 6.0}) {
        const ModelPlan plan =
            plan_preset(tensors(), "best", {fmt::format("embedding.bits={}", bits)}, 2.5);
        const TensorPlan& table = plan.tensors.back();
        ASSERT_EQ(table.name, "embed");
        check_plan(plan);
        EXPECT_FALSE(is_rounded(table));
        EXPECT_EQ(table.settings.transform.hadamard, TransformSettings::Hadamard::in);
        EXPECT_EQ(table.settings.code.kind, bits > 4 ? "grid" : "trellis");
        // A table that is only looked up has no inputs.
        EXPECT_EQ(table.settings.objective, Objective::identity);
        const double weights = 1000 * 128;
        EXPECT_LE(plan_size(plan).embedding_bits, bits * weights);
        // Columns change their bits by 16, and there are 128; the trellis pads to whole tiles.
        EXPECT_GT(plan_size(plan).embedding_bits, (bits - 0.13) * weights) << bits;
        const ModelPlan bytes = plan_preset(tensors(), "best", {}, 2.5);
        EXPECT_EQ(plan_size(plan).linear_bits, plan_size(bytes).linear_bits);
    }
    std::vector<TensorPlan> tied = tensors();
    tied.back().makes_logits = true;
    const ModelPlan plan = plan_preset(tied, "best", {"embedding.bits=3"}, 2.5);
    EXPECT_EQ(plan.tensors.back().settings.objective, Objective::full);
    EXPECT_THROW(plan_preset(tied, "best", {"embedding.bits=0.5"}, 2.5), Error);
    // The default says nothing, so that what was quantized before keeps its fingerprint.
    EXPECT_FALSE(settings_json(Settings()).contains("embedding.bits"));
    EXPECT_EQ(settings_json(plan.settings)["embedding.bits"], "3");
}

TEST(Plan, TensorsShareCodebooksWithTheirLikes) {
    ModelPlan plan = plan_preset(tensors(), "gptvq", {"code.scope=model"}, 3);
    ASSERT_EQ(sharing_groups(plan).size(), 1U);
    EXPECT_THAT(sharing_groups(plan)[0].tensors, ElementsAre(0, 1, 2, 3));
    const double before = plan_size(plan).linear_bits;
    // What an allocator does: another size for one tensor.
    plan.tensors[2].settings.code.stage_bits = {4, 4};
    const auto groups = sharing_groups(plan);
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_THAT(groups[0].tensors, ElementsAre(0, 1, 3));
    EXPECT_THAT(groups[1].tensors, ElementsAre(2));
    EXPECT_NE(plan_size(plan).linear_bits, before);
    for (TensorPlan& t : plan.tensors) t.settings.code.scope = CodebookScope::layer;
    plan.tensors[2].settings.code.stage_bits = plan.tensors[0].settings.code.stage_bits;
    EXPECT_EQ(sharing_groups(plan).size(), 2U);  // one a block
    for (TensorPlan& t : plan.tensors) t.settings.code.scope = CodebookScope::tensor;
    EXPECT_TRUE(sharing_groups(plan).empty());
}

TEST(Plan, TheSizeIsGivenOnce) {
    try {
        plan_preset(tensors(), "rvq", {"code.stage_bits=8+8"}, 3);
        FAIL() << "accepted";
    } catch (const Error& e) {
        EXPECT_THAT(e.what(), HasSubstr("given twice"));
    }
    EXPECT_THAT(plan_preset(tensors(), "rvq", {"code.stage_bits=8+8"}, 0)
                    .tensors[0]
                    .settings.code.stage_bits,
                ElementsAre(8, 8));
}

}  // namespace
}  // namespace vq
