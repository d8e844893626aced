// SPDX-License-Identifier: Apache-2.0
// A model as a dense Hugging Face folder, for tools that know no codebooks: model.safetensors (in
// parts where it is large), config.json without a quantization, tokenizer.
#pragma once

#include <cstdint>
#include <string>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"

namespace vq {

struct SafetensorsExport {
    std::int64_t tensors = 0;
    std::int64_t weight_bytes = 0;
    std::int64_t files = 0;  ///< that hold weights
};

/// The most bytes of weights that go into one file, unless a single tensor has more.
inline constexpr std::int64_t usual_shard_bytes = 4'000'000'000;

/// Decodes every tensor of `source` and writes the folder `path`, atomically. dtype: "f16", "bf16"
/// or "f32"; throws Error for others, for a value that is not finite in that type, and when `path`
/// is there already. More than `shard_bytes` (at least 1) make model-00001-of-0000N.safetensors and
/// the index that says which tensor is where.
SafetensorsExport export_safetensors(const WeightSource& source, const std::string& dtype,
                                     const std::string& path, std::int64_t shard_bytes,
                                     const Progress& progress);

}  // namespace vq
