// SPDX-License-Identifier: Apache-2.0
// Hyper-parameters and tensor names of GGUF files in the terms of HF checkpoints.
#pragma once

#include <string>

#include "io/checkpoints/gguf.h"
#include "io/families/model_config.h"

namespace vq {

/// Writes a config.json that `transformers` loads from the file's metadata (`llama.*`, `qwen2.*`)
/// and parses it, so that both say the same. A `rope_freqs.weight` tensor (Llama 3.1 and later)
/// becomes llama3 rope scaling when its factors are exactly those; else it is refused. Throws Error
/// on an unknown architecture, mixtures of experts, missing keys and settings that are not
/// supported.
ModelConfig gguf_model_config(const GgufFile& file);

/// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; the name itself when it is
/// not one of a Llama-family model.
std::string hf_tensor_name(const std::string& gguf_name);

}  // namespace vq
