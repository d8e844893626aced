// SPDX-License-Identifier: Apache-2.0
// Rows and columns of every tensor of a model, by what it is for.
#pragma once

#include "io/families/model_config.h"

namespace vq {

/// Sets rows and cols of a tensor of the model, or of the block `layer`, by its role.
void set_shape(const ModelConfig& config, const LayerConfig& layer, ModelTensor& tensor);

}  // namespace vq
