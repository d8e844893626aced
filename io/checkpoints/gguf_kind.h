// SPDX-License-Identifier: Apache-2.0
// GGUF files that hold something else than a language model: vocabularies, vision encoders,
// adapters, importance matrices.
#pragma once

#include "io/gguf/gguf.h"

namespace vq {

/// Returns `file`. Throws Error that says what the file is when it is no language model.
const GgufFile& checked_model_file(const GgufFile& file);

}  // namespace vq
