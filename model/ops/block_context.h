// SPDX-License-Identifier: Apache-2.0
// What every block of a model shares.
#pragma once

#include <vector>

#include "io/families/model_config.h"
#include "model/ops/kernels.h"
#include "model/ops/rope.h"

namespace vq {

struct BlockContext {
    ModelConfig config;
    std::vector<RopeTable> ropes;  ///< as in config.ropes
    const Kernels* kernel;
    Index positions;  ///< the longest sequence

    BlockContext(const ModelConfig& model, Index longest)
        : config(model), kernel(&kernels(active_isa())), positions(longest) {
        for (const RopeConfig& rope : model.ropes) ropes.emplace_back(rope, longest);
    }
};

}  // namespace vq
