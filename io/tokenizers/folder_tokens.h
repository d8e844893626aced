// SPDX-License-Identifier: Apache-2.0
// Tokens that the files beside a vocabulary name, merged as `transformers` merges them:
// added_tokens_decoder of tokenizer_config.json, or, where it has none, added_tokens.json and
// special_tokens_map.json; and whatever these files call the bos, eos, pad, ... token.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/tokenizers/added_tokens.h"
#include "io/tokenizers/tokenizer_files.h"

namespace vq {

struct FolderTokens {
    /// With flags and ids of their own, in the order of the ids.
    std::vector<AddedToken> added;
    /// Special by name; id -1. Those that the vocabulary lacks are added behind all others.
    std::vector<AddedToken> special;
};

/// Throws Error that names the file and the entry which is not a token.
FolderTokens folder_tokens(const TokenizerFiles& files, const std::string& where);

/// The object in one of the files; null when there is no such file. Throws Error when it is none.
nlohmann::json folder_json(const TokenizerFiles& files, const char* name, const std::string& where);

}  // namespace vq
