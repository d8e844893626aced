// SPDX-License-Identifier: Apache-2.0
// Tokenizers of HF checkpoints: byte-level BPE (tokenizer.json) and sentencepiece
// (tokenizer.model). Ids equal those of the public `tokenizers` and `sentencepiece` packages.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/tokenizers/tokenizer_files.h"

namespace vq {

using TokenId = std::int32_t;

/// Every function may be called from several threads at once.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    /// Ids of UTF-8 text (invalid bytes become U+FFFD first, as the Python packages see them).
    /// add_special: put what the tokenizer's own configuration puts around a text (BOS for Llama).
    virtual std::vector<TokenId> encode(std::string_view text, bool add_special) const = 0;
    /// The text of ids. skip_special leaves special tokens out. Ids that no token has give no text.
    virtual std::string decode(std::span<const TokenId> ids, bool skip_special) const = 0;
    /// The largest id + 1, added tokens included.
    virtual std::int64_t vocab_size() const = 0;
    /// Id of a token given as it stands in the vocabulary or among the added tokens; -1 if none.
    virtual TokenId id_of(std::string_view token) const = 0;
    /// What a user should know about how the tokenizer was read, a line each.
    virtual std::vector<std::string> notes() const { return {}; }
};

/// Builds the tokenizer from the files of a checkpoint; `where` names the checkpoint in errors.
/// tokenizer.json goes first; where its model is unigram, tokenizer.model beside it is read instead.
/// Throws Error when there is none, or when it uses a model or pre-tokenizer that is not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerFiles& files, const std::string& where);

}  // namespace vq
