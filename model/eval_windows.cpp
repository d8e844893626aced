// SPDX-License-Identifier: Apache-2.0
#include "model/eval_windows.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "model/language_model.h"

namespace vq {

namespace {

std::vector<EvalWindow> cut_windows(Index tokens, Index ctx, EvalProtocol protocol) {
    const bool halves = protocol == EvalProtocol::llamacpp;
    std::vector<EvalWindow> windows;
    Index loss = 0;
    for (Index first = 0; first + (halves ? ctx : 2) <= tokens; first += ctx) {
        const Index count = std::min(ctx, tokens - first);
        windows.push_back({first, count, halves ? ctx / 2 + 1 : 1, loss});
        loss += windows.back().losses();
    }
    return windows;
}

}  // namespace

Index EvalText::losses() const {
    return windows.empty() ? 0 : windows.back().loss + windows.back().losses();
}

std::vector<TokenId> EvalText::ids(const EvalWindow& window) const {
    const auto from = tokens.begin() + window.first;
    std::vector<TokenId> ids(from, from + window.count);
    if (begin >= 0) ids.front() = begin;
    return ids;
}

std::string EvalText::hash() const {
    Hasher hasher;
    for (const std::int64_t value : {ctx, static_cast<Index>(protocol), static_cast<Index>(begin)})
        hasher.add(&value, sizeof value);
    hasher.add(tokens.data(), tokens.size() * sizeof(TokenId));
    return hasher.hex();
}

Index eval_ctx(const EvalOptions& options, const ModelConfig& config) {
    const bool halves = options.protocol == EvalProtocol::llamacpp;
    const Index usual = std::min<Index>(halves ? 512 : 2048, config.max_position);
    const Index ctx = options.ctx == 0 ? usual : options.ctx;
    // Of a shorter window nothing would count.
    const Index least = halves ? 3 : 2;
    if (ctx < least)
        throw Error("a window must have at least " + std::to_string(least) + " tokens",
                    "ctx " + std::to_string(ctx), "use a larger context");
    if (ctx > config.max_position)
        throw Error(
            "the window is longer than the model can take",
            "ctx " + std::to_string(ctx) + ", at most " + std::to_string(config.max_position),
            "use a shorter context");
    return ctx;
}

std::vector<TokenId> eval_tokens(const Tokenizer& tokenizer, std::string_view text,
                                 const std::string& where, EvalProtocol protocol) {
    std::vector<TokenId> ids = tokenizer.encode(text, protocol == EvalProtocol::llamacpp);
    if (ids.size() < 2)
        throw Error("the text has fewer than 2 tokens", where, "give a longer text");
    return ids;
}

TokenId begin_token(const Tokenizer& tokenizer) {
    // What stands around a text stands around one without a word too; an end token alone would
    // come after a word.
    const std::vector<TokenId> around = tokenizer.encode("a", true);
    const std::vector<TokenId> plain = tokenizer.encode("a", false);
    const bool first = !around.empty() && !plain.empty() && around.front() != plain.front();
    return first ? around.front() : -1;
}

EvalText eval_text(std::span<const TokenId> tokens, const EvalOptions& options,
                   const ModelConfig& config) {
    EvalText text;
    text.ctx = eval_ctx(options, config);
    text.protocol = options.protocol;
    text.begin = options.begin;
    if (options.max_tokens < 0)
        throw Error("the number of tokens is negative", std::to_string(options.max_tokens),
                    "use 0 for all");
    if (options.max_tokens > 0 && options.max_tokens < static_cast<Index>(tokens.size()))
        tokens = tokens.first(static_cast<std::size_t>(options.max_tokens));
    if (tokens.size() < 2)
        throw Error("fewer than 2 tokens to evaluate", std::to_string(tokens.size()),
                    "give a longer text");
    check_tokens(tokens, config.vocab_size);
    text.tokens.assign(tokens.begin(), tokens.end());
    text.windows = cut_windows(static_cast<Index>(tokens.size()), text.ctx, options.protocol);
    // One window of llama.cpp's is no sample, and it refuses too.
    if (options.protocol == EvalProtocol::llamacpp && text.windows.size() < 2)
        throw Error(
            "the text is shorter than two windows",
            std::to_string(tokens.size()) + " tokens, windows of " + std::to_string(text.ctx),
            "give a longer text or a smaller --ctx");
    return text;
}

EvalText eval_text(const Tokenizer& tokenizer, std::string_view text, const std::string& where,
                   EvalOptions options, const ModelConfig& config) {
    const std::vector<TokenId> tokens = eval_tokens(tokenizer, text, where, options.protocol);
    if (options.protocol == EvalProtocol::llamacpp) options.begin = begin_token(tokenizer);
    return eval_text(tokens, options, config);
}

}  // namespace vq
