// SPDX-License-Identifier: Apache-2.0
// Presets: named rows of the table of parts (docs/methods.md), and how a bit budget sizes their
// code.
#pragma once

#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"
#include "vq/run/settings.h"

namespace vq {

struct PresetInfo {
    std::string name;
    std::string paper;
    std::string summary;
};
const std::vector<PresetInfo>& presets();

/// The settings of a preset, with its code still to be sized. Throws Error on an unknown name.
Settings preset_settings(const std::string& name);

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
/// a weight. Throws Error when even the smallest code is above it. Leaves stage_bits alone if they
/// are set.
void fit_budget(Settings& settings, const LayerShapes& shapes, double budget);

}  // namespace vq
