// SPDX-License-Identifier: Apache-2.0
// GGUF files in the terms of HF checkpoints: metadata as a config.json.
#pragma once

#include <span>

#include "io/families/model_config.h"
#include "io/gguf/gguf.h"

namespace vq {

/// Writes a config.json that `transformers` loads from the file's metadata (the keys of its
/// architecture) and from which tensors it has, and parses it, so that both say the same. Throws
/// Error on an architecture that `table` does not have, missing keys, keys of the architecture
/// whose effect is not known, and settings that are not supported.
ModelConfig gguf_model_config(const GgufFile& file, std::span<const Family> table = families());

}  // namespace vq
