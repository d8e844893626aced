// SPDX-License-Identifier: Apache-2.0
// Which tokens of a text are evaluated: the text is cut into windows of `ctx` tokens without
// overlap, and each window starts afresh. Which of their tokens count is the protocol's affair.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "io/families/model_config.h"
#include "io/tokenizers/tokenizer.h"

namespace vq {

/// every_token: all tokens of a window but the first count, and a shorter last window too if it has
/// at least two tokens. llamacpp: as the perplexity program of llama.cpp does: only whole windows,
/// the first token of each replaced by the one that begins a text (if the tokenizer puts one
/// there), the tokens of the second half count, from the second of that half on.
enum class EvalProtocol : std::uint8_t { every_token, llamacpp };

struct EvalOptions {
    /// Tokens a window; 0: 2048 (llamacpp: 512), or the model's maximum where that is less.
    Index ctx = 0;
    Index max_tokens = 0;  ///< use only this many tokens of the text; 0: all
    EvalProtocol protocol = EvalProtocol::every_token;
    TokenId begin = -1;  ///< the token that llamacpp puts first; below 0: none
};

struct EvalWindow {
    Index first;  ///< token
    Index count;
    Index context;  ///< tokens that are only read; the one after them is the first that counts
    Index loss;     ///< index of its first loss among those of the whole text

    Index losses() const { return count - context; }
};

/// A text as it is evaluated.
struct EvalText {
    std::vector<TokenId> tokens;
    Index ctx = 0;
    EvalProtocol protocol = EvalProtocol::every_token;
    TokenId begin = -1;
    std::vector<EvalWindow> windows;

    /// Losses of all windows.
    Index losses() const;
    /// What the model reads of a window.
    std::vector<TokenId> ids(const EvalWindow& window) const;
    /// Of the tokens and of all that decides which of them count.
    std::string hash() const;
};

/// The window length that `options` mean for this model; throws Error when it is below 2 or longer
/// than the model can take.
Index eval_ctx(const EvalOptions& options, const ModelConfig& config);

/// Ids of a text as evaluation takes them (without special tokens; with them for llamacpp).
/// `where` names the text in errors. Throws Error when it has fewer than two tokens.
std::vector<TokenId> eval_tokens(const Tokenizer& tokenizer, std::string_view text,
                                 const std::string& where,
                                 EvalProtocol protocol = EvalProtocol::every_token);

/// The token that the tokenizer puts before a text; -1 if it puts none.
TokenId begin_token(const Tokenizer& tokenizer);

/// Cuts tokens into windows. Throws Error when there are fewer than two tokens (llamacpp: two
/// windows), or an id is not one of the model's.
EvalText eval_text(std::span<const TokenId> tokens, const EvalOptions& options,
                   const ModelConfig& config);

/// The same for a text as it is read from a file: its tokens, and the token that the protocol puts
/// first.
EvalText eval_text(const Tokenizer& tokenizer, std::string_view text, const std::string& where,
                   EvalOptions options, const ModelConfig& config);

}  // namespace vq
