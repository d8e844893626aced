// SPDX-License-Identifier: Apache-2.0
// The two kinds of checkpoint behind open_checkpoint() (io/checkpoints/weight_source.h), and the
// list of tensors that a model consists of.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"

namespace vq {

/// A tensor that a model calls for: weights or a bias.
struct ExpectedTensor {
    std::string name;
    TensorShape shape;
    bool vector = false;  ///< one dimension in a checkpoint: biases and the weights of norms
};

/// Every tensor that `config` calls for, from the embedding to the output layer (which is left out
/// when it is tied to the embedding). The order of WeightSource::names().
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

/// A folder with config.json and model.safetensors, or model.safetensors.index.json and its shards.
std::unique_ptr<WeightSource> open_hf_folder(const std::string& folder);

/// A GGUF file.
std::unique_ptr<WeightSource> open_gguf(const std::string& path);

/// What is said of tensors that no block has use for (ModelConfig::unused).
std::string unused_note(std::int64_t count);

/// Throws Error that names the first value of `values` that is not finite; `where` names the
/// tensor.
void check_finite(const Matrix& values, const std::string& where);

}  // namespace vq
