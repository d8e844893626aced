// SPDX-License-Identifier: Apache-2.0
#include "vq/run/plan.h"

#include <map>

#include "base/error.h"
#include "vq/layer/planned_bits.h"
#include "vq/run/budget.h"
#include "vq/run/presets.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

double weights_of(TensorShape shape) {
    return static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
}

/// The linear layers' shapes by block: what a budget is fitted to.
LayerShapes linear_shapes(const std::vector<TensorPlan>& tensors) {
    LayerShapes shapes;
    for (const TensorPlan& t : tensors) {
        if (t.role != PlanRole::linear) continue;
        VQ_ASSERT(t.layer >= 0);
        if (static_cast<Index>(shapes.size()) <= t.layer)
            shapes.resize(static_cast<std::size_t>(t.layer) + 1);
        shapes[static_cast<std::size_t>(t.layer)].push_back(t.shape);
    }
    return shapes;
}

}  // namespace

bool is_rounded(const TensorPlan& t) {
    return t.role == PlanRole::embedding && family_of(t.settings.code).own_scales;
}

double planned_bits(const TensorPlan& t) {
    return planned_bits(t.shape, t.settings, t.settings.code.scope == CodebookScope::tensor);
}

std::vector<SharingGroup> sharing_groups(const ModelPlan& plan) {
    std::vector<SharingGroup> groups;
    // By what they would be trained for: where, and with which settings.
    std::map<std::pair<Index, std::string>, std::size_t> places;
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
        const TensorPlan& t = plan.tensors[i];
        const CodeSettings& code = t.settings.code;
        VQ_ASSERT(code.scope != CodebookScope::automatic);
        if (code.scope == CodebookScope::tensor || !family_of(code).has_codebooks) continue;
        const Index block = code.scope == CodebookScope::layer ? t.layer : -1;
        Settings same = t.settings;
        // Universal codebooks serve every rate.
        if (code.scope == CodebookScope::universal && family_of(code).rates(code).any())
            same.code.rate = 0;
        const auto [place, first] =
            places.try_emplace({block, settings_json(same).dump()}, groups.size());
        if (first) groups.push_back({{}, family_of(code).codebook_bits(code), 0});
        SharingGroup& group = groups[place->second];
        group.tensors.push_back(i);
        group.weights += weights_of(t.shape);
    }
    return groups;
}

PlanSize plan_size(const ModelPlan& plan) {
    PlanSize size;
    const auto bits_for = [&](PlanRole role) -> double& {
        return role == PlanRole::linear ? size.linear_bits : size.embedding_bits;
    };
    for (const TensorPlan& t : plan.tensors) {
        bits_for(t.role) += planned_bits(t);
        if (t.role == PlanRole::linear) size.linear_weights += weights_of(t.shape);
    }
    for (const SharingGroup& group : sharing_groups(plan))
        bits_for(plan.tensors[group.tensors.front()].role) += group.bits;
    return size;
}

ModelPlan uniform_plan(std::vector<TensorPlan> tensors, const Settings& sized) {
    ModelPlan plan;
    plan.settings = sized;
    plan.scope = plan_scope(sized, linear_shapes(tensors)).scope;
    Settings linear = sized;
    linear.code.scope = plan.scope;
    for (TensorPlan& t : tensors) {
        const bool table = t.role == PlanRole::embedding;
        if (table && sized.embedding_bits == 0 && sized.embedding == EmbeddingCode::dense) continue;
        t.settings = table ? embedding_settings(sized, t.makes_logits) : linear;
        if (table && sized.embedding_bits > 0)
            fit_budget(t.settings, {{t.shape}}, sized.embedding_bits);
        plan.tensors.push_back(std::move(t));
    }
    return plan;
}

ModelPlan plan_preset(std::vector<TensorPlan> tensors, const std::string& method,
                      const std::vector<std::string>& assignments, double bits) {
    Settings settings = preset_settings(method);
    for (const std::string& assignment : assignments) set_setting(settings, assignment);
    if (!settings.code.stage_bits.empty() && bits > 0)
        throw Error("the size is given twice", "--bits and --set code.stage_bits", "give only one");
    fit_budget(settings, linear_shapes(tensors), bits > 0 ? bits : find_preset(method).bits);
    check_settings(settings);
    return uniform_plan(std::move(tensors), settings);
}

void check_plan(const ModelPlan& plan) {
    for (const TensorPlan& t : plan.tensors) {
        VQ_ASSERT(t.settings.code.scope != CodebookScope::automatic);
        check_settings(t.settings);
    }
}

const char* scope_name(CodebookScope scope) {
    switch (scope) {
        case CodebookScope::tensor: return "tensor";
        case CodebookScope::layer: return "layer";
        case CodebookScope::model: return "model";
        default: return "universal";
    }
}

}  // namespace vq
