// SPDX-License-Identifier: Apache-2.0
// LayerWalk: how quantize_model() sees a model that text flows through, one transformer block after
// the other. The runtime in model/ implements it; vq/ needs no more of it than this.
#pragma once

#include <string>
#include <vector>

#include "base/matrix.h"
#include "vq/layer/drift.h"
#include "vq/layer/hessian.h"

namespace vq {

class LayerWalk {
public:
    virtual ~LayerWalk() = default;
    /// Brings the calibration text up to the input of group `group` (of linear_groups()) of block
    /// `layer`, through the weights in force (those given to replace(), else the original ones),
    /// and adds those inputs to `sum`. Called in order: groups 0, 1, 2, ... of block 0, then of
    /// block 1, ... (some may be left out). With `drift`, also how the original model's inputs
    /// (and, for layers that add to it, its residual stream) differ from those in force; drift
    /// stays empty when the walk does not follow the original. After the last block, group 0 of the
    /// block that would follow it is what the head reads.
    virtual void collect(Index layer, Index group, HessianSum& sum, DriftSum* drift) = 0;
    /// From now on the walk uses `weight` for this tensor (in force for later groups and blocks). The
    /// embedding's may be given before anything is collected.
    virtual void replace(const std::string& name, Matrix weight) = 0;
    /// Ends a block: the text flows through the rest of it; its weights are let go.
    virtual void finish(Index layer) = 0;
    /// How many tokens each expert of the block has seen; empty before one of its experts' groups
    /// was collected, where it has no mixture, and where nobody knows.
    virtual std::vector<Index> expert_tokens() const { return {}; }
};

}  // namespace vq
