// SPDX-License-Identifier: Apache-2.0
// The tokenizer inside a GGUF file (`tokenizer.ggml.*`) as the files of a HF folder, so that one
// reader of tokenizers serves both.
#pragma once

#include <string>
#include <vector>

#include "io/gguf/gguf.h"
#include "io/tokenizers/tokenizer_files.h"

namespace vq {

/// `tokenizer.ggml.model` "gpt2" (byte-level BPE) or "gemma4" (BPE on characters) becomes
/// tokenizer.json; "llama" (sentencepiece) becomes tokenizer.model; all get tokenizer_config.json.
/// Empty when the file has no tokenizer. What a user should know is added to `notes`.
/// Throws Error on another model, an unknown pre-tokenizer, or lists that do not belong together.
TokenizerFiles gguf_tokenizer_files(const GgufFile& file, std::vector<std::string>& notes);

}  // namespace vq
