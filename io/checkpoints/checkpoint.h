// SPDX-License-Identifier: Apache-2.0
// The two kinds of checkpoint behind open_checkpoint() (io/checkpoints/weight_source.h), and the list of
// tensors that a Llama-family model consists of.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/checkpoints/weight_source.h"

namespace vq {

/// Every tensor that `config` calls for, with its shape, from the embedding to the output layer
/// (which is left out when it is tied to the embedding). The order of WeightSource::names().
std::vector<std::pair<std::string, TensorShape>> expected_tensors(const ModelConfig& config);

/// A folder with config.json and model.safetensors, or model.safetensors.index.json and its shards.
std::unique_ptr<WeightSource> open_hf_folder(const std::string& folder);

/// A GGUF file of the architecture llama or qwen2.
std::unique_ptr<WeightSource> open_gguf(const std::string& path);

/// Throws Error that names the first value of `values` that is not finite; `where` names the
/// tensor.
void check_finite(const Matrix& values, const std::string& where);

}  // namespace vq
