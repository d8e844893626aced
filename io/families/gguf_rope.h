// SPDX-License-Identifier: Apache-2.0
// Rope scaling of a GGUF file as the rope_scaling of config.json.
#pragma once

#include "base/json.h"
#include "io/files/gguf.h"

namespace vq {

/// The tensor of frequency factors, which is no part of the network.
inline constexpr const char* rope_factors_tensor = "rope_freqs.weight";

/// Null without scaling. `architecture` is the file's; `theta` and `head_dim` are the model's.
/// Throws Error on a scaling other than linear, and on factors that are not those of llama3.
Json gguf_rope_scaling(const GgufFile& file, const std::string& architecture, double theta,
                       std::int64_t head_dim);

}  // namespace vq
