// SPDX-License-Identifier: Apache-2.0
// A model as a dense Hugging Face folder, for tools that know no codebooks: model.safetensors,
// config.json without a quantization, tokenizer.
#pragma once

#include <cstdint>
#include <string>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"

namespace vq {

struct SafetensorsExport {
    std::int64_t tensors = 0;
    std::int64_t weight_bytes = 0;
};

/// Decodes every tensor of `source` and writes the folder `path`, atomically. dtype: "f16", "bf16"
/// or "f32"; throws Error for others, for a value that is not finite in that type, and when `path`
/// is there already.
SafetensorsExport export_safetensors(const WeightSource& source, const std::string& dtype,
                                     const std::string& path, const Progress& progress);

}  // namespace vq
