// SPDX-License-Identifier: Apache-2.0
#include "io/families/inventory.h"

#include <algorithm>
#include <iterator>

namespace vq {

namespace {

const char* mixer_name(Mixer mixer) {
    switch (mixer) {
        case Mixer::attention: return "attention";
        case Mixer::latent_attention: return "latent attention";
        case Mixer::gated_delta: return "gated delta net";
        case Mixer::short_conv: return "short convolution";
    }
    return "";
}

// What a token reads of `weights` of this tensor.
double active_share(const LayerConfig* layer, const ModelTensor& tensor) {
    if (tensor.role == TensorRole::embedding || tensor.role == TensorRole::layer_embedding)
        return 0;  // a single row
    return layer == nullptr || tensor.expert < 0 ? 1 : layer->mixture.active_share();
}

// Of a tensor that is in no group.
const char* name_outside(TensorRole role) {
    switch (role) {
        case TensorRole::embedding: return "embedding";
        case TensorRole::layer_embedding: return "layer_embedding";
        case TensorRole::layer_projection: return "layer_projection";
        case TensorRole::head: return "head";
        default: return "other";
    }
}

class Count {
public:
    void add(const LayerConfig* layer, const ModelTensor& tensor) {
        const auto kind = group_of(tensor.role);
        const std::string name = kind ? group_name(*kind) : name_outside(tensor.role);
        auto part = std::find_if(parts_.begin(), parts_.end(),
                                 [&](const Part& p) { return p.what.name == name; });
        if (part == parts_.end()) {
            parts_.push_back({{.name = name, .linear = kind.has_value()}, 0});
            part = std::prev(parts_.end());
        }
        const std::int64_t weights =
            tensor.rows * tensor.cols + (tensor.bias ? tensor.bias_size() : 0);
        ++part->what.tensors;
        part->what.weights += weights;
        part->active += static_cast<double>(weights) * active_share(layer, tensor);
    }

    // A tied embedding is read whole where logits are made.
    void tie() {
        for (Part& part : parts_)
            if (part.what.name == "embedding") part.active = static_cast<double>(part.what.weights);
    }

    std::vector<ModelPart> parts() const {
        std::vector<ModelPart> out;
        for (const Part& part : parts_) {
            out.push_back(part.what);
            out.back().active = static_cast<std::int64_t>(part.active + 0.5);
        }
        // What is not quantized is said last.
        std::stable_partition(out.begin(), out.end(),
                              [](const ModelPart& p) { return p.name != "other"; });
        return out;
    }

private:
    struct Part {
        ModelPart what;
        double active;
    };
    std::vector<Part> parts_;
};

}  // namespace

ModelInventory take_inventory(const ModelConfig& config) {
    ModelInventory all;
    Count count;
    for_each_tensor(config, [&](const ModelTensor& tensor, const LayerConfig* layer) {
        count.add(layer, tensor);
    });
    if (config.tie_embeddings) count.tie();
    for (const LayerConfig& layer : config.layers) {
        const std::string name = mixer_name(layer.mixer);
        const auto mixer = std::find_if(all.mixers.begin(), all.mixers.end(),
                                        [&](const MixerCount& m) { return m.name == name; });
        if (mixer == all.mixers.end())
            all.mixers.push_back({name, 1});
        else
            ++mixer->layers;
        if (layer.mixture.n_experts == 0) continue;
        ++all.mixture_layers;
        all.experts = std::max(all.experts, layer.mixture.n_experts);
        all.active_experts = std::max(all.active_experts, layer.mixture.n_active);
    }
    all.parts = count.parts();
    for (const ModelPart& part : all.parts) {
        all.weights += part.weights;
        all.active += part.active;
        if (part.linear) all.linear += part.weights;
    }
    return all;
}

}  // namespace vq
