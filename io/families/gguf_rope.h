// SPDX-License-Identifier: Apache-2.0
// How the metadata and tensors of a GGUF file say that positions turn, in the words of config.json.
#pragma once

#include "base/json.h"
#include "io/families/gguf_metadata.h"

namespace vq {

/// Tensors that are no part of the network: frequencies are divided by them.
bool is_rope_factors(std::string_view name);

/// Null without scaling. Of a head, `dims` dimensions turn; `theta` is the model's. Factors of
/// rope_freqs.weight that are llama3's become that; any others the two equal lists of a longrope.
/// Throws Error on a scaling that is not known.
Json gguf_rope_scaling(const GgufMetadata& data, double theta, std::int64_t dims);

/// rope_parameters where layers with windows turn in their own way: with theta alone, and the others
/// with `dims` dimensions a head, some of whose pairs rope_freqs.weight may keep from turning.
Json gguf_rope_by_type(const GgufMetadata& data, double theta, double window_theta,
                       std::int64_t dims);

}  // namespace vq
