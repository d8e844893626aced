// SPDX-License-Identifier: Apache-2.0
// Where a GGUF file holds the tensors of a model: under which names, in which order of rows and
// columns, and with what done to their values.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/families/model_config.h"

namespace vq {

struct GgufSource {
    std::string name;  ///< the tensor's HF name: "model.layers.3.self_attn.q_proj.weight"
    /// GGUF names; the rows of several stand one behind the other.
    std::vector<std::string> tensors;
    /// Of several: how many rows each has (of keys and values of latent attention: a head's).
    std::vector<std::int64_t> part_rows;
    std::int64_t expert = -1;  ///< below 0, or which part of a tensor of three dimensions
    /// Row (of a vector: element) i of the HF tensor stands at rows[i]; empty: at i. Columns alike.
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> cols;
    /// minus_one: files hold 1 + w of such norms. log_of_negative: they hold -exp(w).
    enum class Change : std::uint8_t { none, minus_one, log_of_negative } change = Change::none;
    /// Above 0: `tensors` are the keys' part of latent attention, turned over head by head, and the
    /// values' part; of so many heads.
    std::int64_t latent_heads = 0;
};

/// Every tensor that `config` calls for, weights and biases. `has` says whether the file has a
/// tensor of a name: converters have changed their mind about some.
std::vector<GgufSource> gguf_sources(const ModelConfig& config,
                                     const std::function<bool(const std::string&)>& has,
                                     std::span<const Family> table = families());

}  // namespace vq
