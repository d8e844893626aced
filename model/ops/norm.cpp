// SPDX-License-Identifier: Apache-2.0
#include "model/ops/norm.h"

#include <algorithm>

#include "base/error.h"

namespace vq {

Norm make_norm(NormKind kind, Vector weight, Vector bias, double eps) {
    const bool layer = kind == NormKind::layer || kind == NormKind::layer_plus_one;
    VQ_ASSERT(bias.size() == 0 || (layer && bias.size() == weight.size()));
    if (kind == NormKind::rms_plus_one || kind == NormKind::layer_plus_one) weight.array() += 1.0F;
    return {layer ? NormKind::layer : NormKind::rms, std::move(weight), std::move(bias),
            static_cast<float>(eps)};
}

void Norm::apply(const float* x, Index tokens, float* out, const Kernels& kernel) const {
    const Index n = width();
    if (empty()) return;
    for (Index t = 0; t < tokens; ++t) {
        const float* from = x + t * n;
        float* const to = out + t * n;
        if (kind == NormKind::rms)
            kernel.rms_norm(from, weight.data(), n, eps, to);
        else
            kernel.layer_norm(from, weight.data(), bias.size() > 0 ? bias.data() : nullptr, n, eps,
                              to);
    }
}

void Norm::scale(float factor) {
    weight *= factor;
    bias *= factor;
}

}  // namespace vq
