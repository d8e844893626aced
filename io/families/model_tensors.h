// SPDX-License-Identifier: Apache-2.0
// The tensors that a model calls for, from the names of its family's row and what its blocks do.
#pragma once

#include <string>

#include "io/families/config_reader.h"
#include "io/families/model_config.h"

namespace vq {

/// Sets every tensor of `config`, whose layers must stand. `prefix` takes the place of "model."
/// where names begin with that, and `head_prefix` stands before the head's.
void resolve_tensors(const ConfigReader& reader, const std::string& prefix,
                     const std::string& head_prefix, ModelConfig& config);

/// The stack that newer writers put in place of an expert's own matrices: gate and up in one, rows
/// of gate first. Empty where the family's experts have no such names.
std::string fused_stack_name(const ModelTensor& tensor);

/// The name of the embedding behind `prefix`.
std::string embedding_name(const Family& family, const std::string& prefix);

}  // namespace vq
