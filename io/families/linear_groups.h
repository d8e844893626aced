// SPDX-License-Identifier: Apache-2.0
// The linear layers of a block by what they read: layers of a group share their input, and with it
// the Hessian, the input rotation and (in the runtime) one product.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "io/families/model_config.h"

namespace vq {

/// What a group reads, in the order in which the inputs arise in a block. Those that end in _out
/// and _down, and `down`, add to the residual stream.
enum class GroupKind : std::uint8_t {
    qkv,            ///< the normed stream; q, and what becomes k and v
    latent_query,   ///< the normed query of latent attention
    latent_kv,      ///< its normed keys and values
    attention_out,  ///< the heads' output
    delta_in,       ///< the normed stream
    delta_out,
    conv_in,  ///< the normed stream
    conv_out,
    gate_up,  ///< the normed stream again
    down,     ///< the inside of the MLP
    expert_gate_up,
    expert_down,
    shared_gate_up,
    shared_down,
    layer_input_gate,  ///< the stream behind the MLP
    layer_input_out
};

/// The group that a tensor of this role belongs to; nothing for norms, routers, what makes the
/// decays and writes of a delta net, and other tensors that are kept as they are, and for what is
/// not in a block.
std::optional<GroupKind> group_of(TensorRole role);

/// "qkv", "attention_out", ...: as above.
const char* group_name(GroupKind kind);

/// Linear layers that read the same input, for example q_proj, k_proj and v_proj.
struct LinearGroup {
    std::vector<std::string> names;  ///< HF tensor names, "...q_proj.weight"
    Index cols = 0;                  ///< width of the common input
    GroupKind kind = GroupKind::qkv;
    Index expert = -1;  ///< of a mixture, else below 0
};

/// The linear layers of transformer block `layer`, grouped by common input, in the order in which
/// their inputs arise.
std::vector<LinearGroup> linear_groups(const ModelConfig& config, Index layer);

/// The matrices outside of blocks: the embedding, what makes the blocks' inputs, a head of its own.
/// All tensors that are neither these nor in a group are small and kept as they are.
std::vector<std::string> table_names(const ModelConfig& config);

}  // namespace vq
