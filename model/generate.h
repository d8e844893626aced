// SPDX-License-Identifier: Apache-2.0
// Text generation from a prompt, with a KV cache: the prompt runs in one batch, then token by
// token.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "model/language_model.h"
#include "model/sampler.h"

namespace vq {

struct GenerateOptions {
    Index max_new_tokens = 128;
    SampleOptions sample = {};
    bool stop_at_eos = true;
    /// The tokenizer puts its own special tokens around the prompt. A rendered chat has them.
    bool add_special = true;
};

struct GenerateResult {
    std::vector<TokenId> prompt;
    std::vector<TokenId> tokens;  ///< new ones, without the end-of-sequence token
    std::string text;             ///< of the new tokens
    std::string stop_reason;      ///< "eos", "max_new_tokens", "max_position" or "cancelled"
    double prompt_seconds = 0;
    double decode_seconds = 0;  ///< of the tokens after the first
    double prompt_tokens_per_second() const;
    double decode_tokens_per_second() const;
};

/// Longest sequence that the prompt and the new tokens can make, for LanguageModel's `positions`.
/// Throws Error when the prompt alone is too long or empty.
Index generate_positions(const ModelConfig& config, Index prompt_tokens, Index max_new_tokens);

/// Continues the prompt. `on_text` is given the
/// text piece by piece, never half a character; the pieces make up the result's text. When the
/// user cancels, what there is so far is returned.
GenerateResult generate(const LanguageModel& model, const Tokenizer& tokenizer,
                        std::string_view prompt, const GenerateOptions& options,
                        const std::function<void(std::string_view)>& on_text,
                        const Progress& progress);

/// Continues token ids; no text.
GenerateResult generate_tokens(const LanguageModel& model, std::vector<TokenId> prompt,
                               const GenerateOptions& options,
                               const std::function<void(TokenId)>& on_token,
                               const Progress& progress);

/// Length of the longest prefix of `text` that does not end inside a character: an unfinished UTF-8
/// sequence or the replacement character that stands for one at the end is left out.
std::size_t complete_prefix(std::string_view text);

}  // namespace vq
