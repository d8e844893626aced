// SPDX-License-Identifier: Apache-2.0
// Budget: how many bits a run will store, and how a number of bits a weight sizes its code.
#pragma once

#include <vector>

#include "io/checkpoints/weight_source.h"
#include "vq/layer/settings.h"

namespace vq {

/// Which tensors share the codebook of which scope.
struct ScopePlan {
    CodebookScope scope = CodebookScope::universal;  ///< never automatic
    double bits = 0;  ///< all bits of all tensors, codebooks counted once each
};

/// Shapes of the tensors to quantize, by transformer block.
using LayerShapes = std::vector<std::vector<TensorShape>>;

/// Resolves code.scope=auto by true bits and counts all bits that the run will store.
ScopePlan plan_scope(const Settings& settings, const LayerShapes& shapes);

/// Sizes the code: the most bits a vector such that plan_scope(...).bits stays within `budget` bits
/// a weight. Throws Error that names the least when even the smallest code is above it. Leaves
/// stage_bits alone if they are set.
void fit_budget(Settings& settings, const LayerShapes& shapes, double budget);

}  // namespace vq
