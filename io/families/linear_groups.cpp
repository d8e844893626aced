// SPDX-License-Identifier: Apache-2.0
#include "io/families/linear_groups.h"

#include <fmt/format.h>

namespace vq {

std::vector<LinearGroup> linear_groups(const ModelConfig& config, Index layer) {
    const auto weight = [&](const char* part) {
        return fmt::format("model.layers.{}.{}.weight", layer, part);
    };
    return {
        {{weight("self_attn.q_proj"), weight("self_attn.k_proj"), weight("self_attn.v_proj")},
         config.hidden_size},
        {{weight("self_attn.o_proj")}, config.n_heads * config.head_dim},
        {{weight("mlp.gate_proj"), weight("mlp.up_proj")}, config.hidden_size},
        {{weight("mlp.down_proj")}, config.intermediate_size},
    };
}

}  // namespace vq
