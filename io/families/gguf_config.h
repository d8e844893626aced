// SPDX-License-Identifier: Apache-2.0
// GGUF files in the terms of HF checkpoints: metadata as a config.json, tensors by their HF names.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "io/families/model_config.h"
#include "io/files/gguf.h"

namespace vq {

/// Writes a config.json that `transformers` loads from the file's metadata (the keys of its
/// architecture) and parses it, so that both say the same. A `rope_freqs.weight` tensor (Llama 3.1
/// and later) becomes llama3 rope scaling when its factors are exactly those; else it is refused.
/// Throws Error on an architecture that `table` does not have, mixtures of experts, missing keys,
/// keys of the architecture whose effect is not known, and settings that are not supported.
ModelConfig gguf_model_config(const GgufFile& file, std::span<const Family> table = families());

/// A tensor of a GGUF file as the model knows it.
struct GgufTensorName {
    std::string hf;               ///< "model.layers.3.self_attn.q_proj.weight"
    std::int64_t pair_heads = 0;  ///< ModelTensor::gguf_pair_heads
};

/// Every tensor that `config` calls for, weights and biases, by its GGUF name.
std::map<std::string, GgufTensorName> gguf_tensor_names(const ModelConfig& config);

}  // namespace vq
