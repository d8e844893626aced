// SPDX-License-Identifier: Apache-2.0
// What the weights of a model are for, counted from its configuration alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/families/linear_groups.h"

namespace vq {

/// Tensors of all blocks that are for the same thing.
struct ModelPart {
    /// "embedding", "layer_embedding", "layer_projection", "head", "other", or of a group: "qkv", ...
    std::string name;
    bool linear = false;       ///< a group of linear layers: what --bits counts
    std::int64_t tensors = 0;  ///< biases not counted
    std::int64_t weights = 0;  ///< biases counted
    std::int64_t active = 0;   ///< of the weights, those that one token reads
};

/// Blocks with the same mixer.
struct MixerCount {
    std::string name;  ///< "attention", "latent attention", "gated delta net", "short convolution"
    std::int64_t layers = 0;
};

struct ModelInventory {
    std::vector<ModelPart> parts;    ///< embedding, groups in the order of a block, head, other
    std::vector<MixerCount> mixers;  ///< in the order of their first blocks
    std::int64_t weights = 0;
    std::int64_t active = 0;  ///< all but the experts that a token leaves out, and the embedding
    std::int64_t linear = 0;  ///< of the weights, those of linear layers
    std::int64_t mixture_layers = 0;
    std::int64_t experts = 0;         ///< of a layer, the most there are
    std::int64_t active_experts = 0;  ///< of those, how many a token is sent to
};

ModelInventory take_inventory(const ModelConfig& config);

}  // namespace vq
