// SPDX-License-Identifier: Apache-2.0
// A tokenizer defined by a sentencepiece model (tokenizer.model), with BOS, EOS and added tokens as
// the files beside it say. The text between two added tokens is encoded as a text of its own: it
// gets the model's leading space too, unless the configuration has "legacy": false (which is what
// transformers 5 assumes for its LlamaTokenizer). "add_prefix_space": false does without the space.
// BPE models give the same ids in every version of sentencepiece; unigram models those of the
// installed library (versions differ in which of several equally good segmentations they take).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/tokenizers/tokenizer.h"

namespace vq {

/// `files`: tokenizer.model and what lies beside it. Without tokenizer_config.json BOS is added
/// (where the model has one) and EOS is not. `notes` becomes Tokenizer::notes(). Throws Error when
/// sentencepiece cannot read the model, or another file is malformed.
std::unique_ptr<Tokenizer> load_sentencepiece(const TokenizerFiles& files, const std::string& where,
                                              std::vector<std::string> notes);

}  // namespace vq
