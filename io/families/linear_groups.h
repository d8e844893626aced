// SPDX-License-Identifier: Apache-2.0
// The linear layers of a block by what they read: layers of a group share their input, and with it
// the Hessian, the input rotation and (in the runtime) one product.
#pragma once

#include <string>
#include <vector>

#include "base/matrix.h"
#include "io/families/model_config.h"

namespace vq {

/// Linear layers that read the same input, for example q_proj, k_proj and v_proj.
struct LinearGroup {
    std::vector<std::string> names;  ///< HF tensor names, "...q_proj.weight"
    Index cols = 0;                  ///< width of the common input
};

/// The linear layers of transformer block `layer`, grouped by common input, in the order in which
/// their inputs arise: q k v, o, gate up, down.
std::vector<LinearGroup> linear_groups(const ModelConfig& config, Index layer);

}  // namespace vq
