// SPDX-License-Identifier: Apache-2.0
// Stop tokens that generation_config.json names. Fine-tunes give the end of a turn there alone, and
// config.json keeps the base model's end of text.
#pragma once

#include <string>

#include "io/families/model_config.h"
#include "io/tokenizers/tokenizer_files.h"

namespace vq {

/// Adds what eos_token_id of generation_config.json, if it is among `files`, says to
/// `config.eos_ids`: the union of both lists. Ids outside the vocabulary are left out, with a line
/// in `config.notes`. Throws Error (with `where`) when the file is no JSON object, or the value is
/// neither an id nor a list of them.
void add_generation_stops(const TokenizerFiles& files, const std::string& where,
                          ModelConfig& config);

}  // namespace vq
