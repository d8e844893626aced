// SPDX-License-Identifier: Apache-2.0
// What each part of a quantized model costs at its output: how far the divergence from the original
// falls when the tensors of a part are the original's again. Measured at the quantized point, where
// a budget is spent, and not derived from errors of layers, which say little about it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/tokenizers/tokenizer.h"
#include "model/ops/linear.h"

namespace vq {

/// Tensors of one kind in one stretch of the depth.
struct SensitivityPart {
    std::string name;  ///< "mlp.down_proj, layers 0-9"
    std::vector<std::string> tensors;
    double weights = 0;
    double bits = 0;   ///< bits a weight that it has
    double kl = 0;     ///< nats a token that go when the part is the original's
    double error = 0;  ///< standard error of `kl`, differences paired by window
};

struct Sensitivities {
    double kl = 0;  ///< of the model as it is, nats a token
    double kl_error = 0;
    Index tokens = 0;
    Index windows = 0;
    std::vector<SensitivityPart> parts;
};

/// The linear layers of `quantized`, by kind (the name
/// without the numbers of layer and expert) and by `stretches` equal stretches of the depth, in the
/// order of the network.
/// `bits_of`: bits a weight of a tensor; 0: it is kept as it is, and of no part.
std::vector<SensitivityPart> sensitivity_parts(
    const WeightSource& quantized, Index stretches,
    const std::function<double(const std::string& name)>& bits_of);

/// Fills in the measurements: windows of `ctx` tokens of `tokens`, each of which starts afresh; a
/// shorter last one is left out. The original, its hidden states and one
/// other model are in memory. Throws Error where the two models do not fit, or the text is shorter than two windows.
Sensitivities measure_sensitivities(const WeightSource& quantized, const WeightSource& original,
                                    std::vector<SensitivityPart> parts,
                                    std::span<const TokenId> tokens, Index ctx, Precision precision,
                                    const Progress& progress);

/// What an error of each part costs beside the others (TensorPlan::importance): KL a weight, over
/// the distortion 4^-bits that it has now. Relative to the geometric mean of all weights. A part
/// whose cost is not above its standard error counts as that.
std::vector<double> importances(const Sensitivities& measured);

/// A recipe (vq/run/recipe.h) with a line for every tensor, `comment` in front, a line each.
std::string importance_recipe(const Sensitivities& measured, const std::string& comment);

}  // namespace vq
