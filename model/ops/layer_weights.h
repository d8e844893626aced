// SPDX-License-Identifier: Apache-2.0
// LayerWeights: where the parts of a block get their weights, asked for by what they are for.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "io/checkpoints/weight_source.h"
#include "io/families/linear_groups.h"
#include "model/ops/linear.h"
#include "model/ops/norm.h"

namespace vq {

/// Weights that take the place of the source's, by name.
using Replacements = std::map<std::string, Matrix>;

struct LayerWeights {
    const WeightSource& source;
    Index layer = 0;
    Precision precision = Precision::fp32;
    const Replacements* replacements = nullptr;  ///< used where it has the name

    const LayerConfig& config() const;
    /// Null where the block has no such tensor (of that expert).
    const ModelTensor* find(TensorRole role, Index expert = -1) const;

    /// Products use weights as they lie in a packed file.
    bool stays_packed() const;
    /// The weights and biases of all tensors of a group, one below the other, as one product.
    Linear group(GroupKind kind, Index expert = -1) const;
    /// Those of one tensor, which the block has.
    Linear linear(const ModelTensor& tensor) const;
    /// The upper and the lower half of one tensor's rows, resident.
    std::pair<Linear, Linear> halves(const ModelTensor& tensor) const;
    /// A tensor that stays fp32 whatever the precision: routers and the like.
    Linear exact(const ModelTensor& tensor) const;

    /// The norm with this role, of the model's kind or of another; empty where the block has none.
    Norm norm(TensorRole role) const;
    Norm norm(TensorRole role, NormKind kind) const;
    /// All values of a tensor that the block has.
    Matrix matrix(TensorRole role) const;
    Vector vector(TensorRole role) const;
};

/// The weights (and bias) of a norm of the whole model.
Norm load_norm(const WeightSource& source, const ModelTensor& norm, NormKind kind);
/// The values of a tensor with one row.
Vector load_vector(const WeightSource& source, const std::string& name);

}  // namespace vq
