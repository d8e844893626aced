// SPDX-License-Identifier: Apache-2.0
// A tokenizer defined by a sentencepiece model (tokenizer.model), with BOS, EOS and added tokens as
// tokenizer_config.json says. The text between two added tokens is encoded as a text of its own: it
// gets the model's leading space too, unless the configuration has "legacy": false.
// BPE models give the same ids in every version of sentencepiece; unigram models those of the
// installed library (versions differ in which of several equally good segmentations they take).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/tokenizers/tokenizer.h"

namespace vq {

/// `model`: the file's bytes. `config`: tokenizer_config.json, or empty: then BOS is added (where
/// the model has one), EOS is not, and there are no added tokens. Throws Error when sentencepiece
/// cannot read the model, or the configuration is malformed.
std::unique_ptr<Tokenizer> load_sentencepiece(std::string_view model, std::string_view config,
                                              const std::string& where);

}  // namespace vq
