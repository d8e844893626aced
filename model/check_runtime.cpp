// SPDX-License-Identifier: Apache-2.0
#include "model/check_runtime.h"

#include <fmt/format.h>

#include "base/error.h"

namespace vq {

namespace {

[[noreturn]] void refuse(const ModelConfig& config, std::size_t layer, const char* what) {
    throw Error(fmt::format("{} cannot be run yet", what),
                fmt::format("{} model, layer {}", config.architecture, layer),
                "use a model without it");
}

}  // namespace

void check_runtime(const ModelConfig& config) {
    for (std::size_t l = 0; l < config.layers.size(); ++l) {
        const LayerConfig& layer = config.layers[l];
        if (layer.attention.window > 0 && layer.attention.chunk > 0)
            refuse(config, l, "attention with a window and chunks at once");
        if (layer.attention.output_gate && layer.attention.head_norm == HeadNorm::whole)
            refuse(config, l, "one norm over all heads of gated attention");
        // The two read the stream itself, which what they give must not be added to meanwhile.
        if (layer.mlp_beside_mixture() && (layer.parallel || layer.mixture.shared_width > 0 ||
                                           layer.find(TensorRole::mlp_norm) == nullptr ||
                                           layer.find(TensorRole::expert_norm) == nullptr ||
                                           layer.find(TensorRole::mlp_post_norm) == nullptr))
            refuse(config, l, "an MLP beside a mixture of experts without norms around both");
        if (layer.parallel && (layer.find(TensorRole::attention_norm) == nullptr ||
                               layer.find(TensorRole::mlp_norm) != nullptr))
            refuse(config, l, "a parallel block whose halves have norms of their own, or none");
        for (const TensorRole role : {TensorRole::query_norm, TensorRole::key_norm})
            if (const ModelTensor* norm = layer.find(role); norm != nullptr && norm->bias)
                refuse(config, l, "a norm of heads with a bias");
    }
}

}  // namespace vq
