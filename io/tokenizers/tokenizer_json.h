// SPDX-License-Identifier: Apache-2.0
// A tokenizer defined by HF's tokenizer.json with a BPE model: added tokens, normalizers,
// pre-tokenizers, BPE, a template around the ids, decoders. "truncation" and "padding" are ignored:
// texts are never cut or filled up.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/tokenizers/folder_tokens.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

/// `text`: the file; `folder`: what the files beside it add. Throws Error when it is not JSON, or
/// when it uses what is not supported.
std::unique_ptr<Tokenizer> load_tokenizer_json(std::string_view text, const FolderTokens& folder,
                                               const std::string& where);

}  // namespace vq
