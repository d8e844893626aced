// SPDX-License-Identifier: Apache-2.0
#include "io/families/linear_groups.h"

#include <algorithm>

#include "base/error.h"

namespace vq {

std::optional<GroupKind> group_of(TensorRole role) {
    switch (role) {
        case TensorRole::query:
        case TensorRole::key:
        case TensorRole::value: return GroupKind::qkv;
        case TensorRole::attention_out: return GroupKind::attention_out;
        case TensorRole::gate:
        case TensorRole::up: return GroupKind::gate_up;
        case TensorRole::down: return GroupKind::down;
        case TensorRole::embedding:
        case TensorRole::attention_norm:
        case TensorRole::mlp_norm:
        case TensorRole::final_norm:
        case TensorRole::head: return std::nullopt;
    }
    return std::nullopt;
}

std::vector<LinearGroup> linear_groups(const ModelConfig& config, Index layer) {
    VQ_ASSERT(layer >= 0 && layer < config.n_layers());
    std::vector<LinearGroup> groups;
    for (const ModelTensor& tensor : config.layers[static_cast<std::size_t>(layer)].tensors) {
        const auto kind = group_of(tensor.role);
        if (!kind) continue;
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const LinearGroup& g) { return g.kind == *kind; });
        if (group == groups.end()) group = groups.insert(groups.end(), {{}, tensor.cols, *kind});
        group->names.push_back(tensor.name + ".weight");
    }
    return groups;
}

}  // namespace vq
