// SPDX-License-Identifier: Apache-2.0
// The tokenizer as it travels with a model: the files of a HF folder.
#pragma once

#include <map>
#include <string>

namespace vq {

/// Name -> bytes. "tokenizer.json" or "tokenizer.model", and if there "tokenizer_config.json",
/// "special_tokens_map.json", "generation_config.json".
using TokenizerFiles = std::map<std::string, std::string>;

}  // namespace vq
