// SPDX-License-Identifier: Apache-2.0
// Norms of rows: RMS and LayerNorm, with their weights as they act (1 + w where the model says so).
#pragma once

#include "io/families/layer_config.h"
#include "model/ops/kernels.h"

namespace vq {

struct Norm {
    NormKind kind = NormKind::rms;
    Vector weight;  ///< empty: there is no such norm, rows stay as they are
    Vector bias;    ///< of a LayerNorm; may be empty
    float eps = 0;

    bool empty() const { return weight.size() == 0; }
    Index width() const { return weight.size(); }
    /// out (tokens, width) of x (tokens, width); out may be x.
    void apply(const float* x, Index tokens, float* out, const Kernels& kernel) const;
    /// The same with all outputs times `factor`.
    void scale(float factor);
};

/// The norm with these weights; `weight` as it stands in the file.
Norm make_norm(NormKind kind, Vector weight, Vector bias, double eps);

}  // namespace vq
