// SPDX-License-Identifier: Apache-2.0
#include "io/families/linear_groups.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace vq {

std::optional<GroupKind> group_of(TensorRole role) {
    switch (role) {
        case TensorRole::query:
        case TensorRole::key:
        case TensorRole::value:
        case TensorRole::query_key_value:
        case TensorRole::latent_query_down:
        case TensorRole::latent_key_value_down: return GroupKind::qkv;
        case TensorRole::latent_query_up: return GroupKind::latent_query;
        case TensorRole::latent_key_value_up: return GroupKind::latent_kv;
        case TensorRole::attention_out: return GroupKind::attention_out;
        case TensorRole::delta_query_key_value:
        case TensorRole::delta_gate:
        case TensorRole::delta_query_key_value_gate: return GroupKind::delta_in;
        case TensorRole::delta_out: return GroupKind::delta_out;
        case TensorRole::conv_in: return GroupKind::conv_in;
        case TensorRole::conv_out: return GroupKind::conv_out;
        case TensorRole::gate:
        case TensorRole::up:
        case TensorRole::gate_up: return GroupKind::gate_up;
        case TensorRole::down: return GroupKind::down;
        case TensorRole::expert_gate:
        case TensorRole::expert_up:
        case TensorRole::expert_gate_up: return GroupKind::expert_gate_up;
        case TensorRole::expert_down: return GroupKind::expert_down;
        case TensorRole::shared_gate:
        case TensorRole::shared_up: return GroupKind::shared_gate_up;
        case TensorRole::shared_down: return GroupKind::shared_down;
        case TensorRole::layer_input_gate: return GroupKind::layer_input_gate;
        case TensorRole::layer_input_out: return GroupKind::layer_input_out;
        default: return std::nullopt;
    }
}

const char* group_name(GroupKind kind) {
    switch (kind) {
        case GroupKind::qkv: return "qkv";
        case GroupKind::latent_query: return "latent_query";
        case GroupKind::latent_kv: return "latent_kv";
        case GroupKind::attention_out: return "attention_out";
        case GroupKind::delta_in: return "delta_in";
        case GroupKind::delta_out: return "delta_out";
        case GroupKind::conv_in: return "conv_in";
        case GroupKind::conv_out: return "conv_out";
        case GroupKind::gate_up: return "gate_up";
        case GroupKind::down: return "down";
        case GroupKind::expert_gate_up: return "expert_gate_up";
        case GroupKind::expert_down: return "expert_down";
        case GroupKind::shared_gate_up: return "shared_gate_up";
        case GroupKind::shared_down: return "shared_down";
        case GroupKind::layer_input_gate: return "layer_input_gate";
        case GroupKind::layer_input_out: return "layer_input_out";
    }
    return "";
}

namespace {

/// Where in a block a group's input arises; all of an expert come before the next one.
std::tuple<GroupKind, Index, GroupKind> place(const LinearGroup& group) {
    const GroupKind half = group.expert >= 0 ? GroupKind::expert_gate_up : group.kind;
    return {half, group.expert, group.kind};
}

}  // namespace

std::vector<LinearGroup> linear_groups(const ModelConfig& config, Index layer) {
    VQ_ASSERT(layer >= 0 && layer < config.n_layers());
    std::vector<LinearGroup> groups;
    for (const ModelTensor& tensor : config.layers[static_cast<std::size_t>(layer)].tensors) {
        const auto kind = group_of(tensor.role);
        if (!kind) continue;
        // From behind: tensors of a group stand close together, and experts are many.
        auto group = std::find_if(groups.rbegin(), groups.rend(), [&](const LinearGroup& g) {
            return g.kind == *kind && g.expert == tensor.expert;
        });
        if (group == groups.rend()) {
            groups.push_back({{}, tensor.cols, *kind, tensor.expert});
            group = groups.rbegin();
        }
        group->names.push_back(tensor.weight());
    }
    std::stable_sort(groups.begin(), groups.end(), [](const LinearGroup& a, const LinearGroup& b) {
        return place(a) < place(b);
    });
    return groups;
}

std::vector<std::string> table_names(const ModelConfig& config) {
    std::vector<std::string> names = {config.embedding.weight()};
    if (config.layer_inputs.width > 0)
        for (const ModelTensor* tensor :
             {&config.layer_inputs.embedding, &config.layer_inputs.projection})
            names.push_back(tensor->weight());
    if (!config.tie_embeddings) names.push_back(config.head.weight());
    return names;
}

}  // namespace vq
