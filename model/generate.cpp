// SPDX-License-Identifier: Apache-2.0
#include "model/generate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace vq {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Turns a growing list of tokens into text pieces.
class TextStream {
public:
    TextStream(const Tokenizer& tokenizer, std::vector<TokenId> prompt)
        : tokenizer_(tokenizer),
          ids_(std::move(prompt)),
          begin_(complete_prefix(tokenizer.decode(ids_, true))),
          sent_(begin_) {}

    // The prompt is decoded along: some tokenizers drop the space in front of the first token.
    std::string_view push(TokenId id) {
        ids_.push_back(id);
        text_ = tokenizer_.decode(ids_, true);
        const std::size_t ready = complete_prefix(text_);
        if (ready <= sent_) return {};
        const std::string_view piece = std::string_view(text_).substr(sent_, ready - sent_);
        sent_ = ready;
        return piece;
    }

    // What is left when no more tokens come, unfinished characters included.
    std::string_view rest() {
        const std::size_t from = std::min(sent_, text_.size());
        sent_ = text_.size();
        return std::string_view(text_).substr(from);
    }

private:
    const Tokenizer& tokenizer_;
    std::vector<TokenId> ids_;
    std::string text_;
    std::size_t begin_;
    std::size_t sent_;
};

}  // namespace

std::size_t complete_prefix(std::string_view text) {
    std::size_t end = text.size();
    constexpr std::string_view replacement = "\xEF\xBF\xBD";
    while (text.substr(0, end).ends_with(replacement)) end -= replacement.size();
    // Step back over continuation bytes to the last lead byte and see whether it got them all.
    std::size_t back = 0;
    while (back < end && back < 3 &&
           (static_cast<unsigned char>(text[end - 1 - back]) & 0xC0U) == 0x80U)
        ++back;
    if (back == end) return end;
    const auto lead = static_cast<unsigned char>(text[end - 1 - back]);
    const std::size_t wanted = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    return back < wanted ? end - 1 - back : end;
}

double GenerateResult::prompt_tokens_per_second() const {
    return prompt_seconds > 0 ? static_cast<double>(prompt.size()) / prompt_seconds : 0;
}

double GenerateResult::decode_tokens_per_second() const {
    return decode_seconds > 0 && tokens.size() > 1
               ? static_cast<double>(tokens.size() - 1) / decode_seconds
               : 0;
}

Index generate_positions(const ModelConfig& config, Index prompt_tokens, Index max_new_tokens) {
    if (prompt_tokens < 1)
        throw Error("the prompt is empty", "prompt", "give at least one token of text");
    if (max_new_tokens < 1)
        throw Error("no tokens to generate", std::to_string(max_new_tokens), "ask for 1 or more");
    if (prompt_tokens >= config.max_position)
        throw Error("the prompt is longer than the model can take",
                    std::to_string(prompt_tokens) + " tokens, at most " +
                        std::to_string(config.max_position - 1),
                    "shorten the prompt");
    return prompt_tokens + std::min(max_new_tokens, config.max_position - prompt_tokens);
}

GenerateResult generate_tokens(const LanguageModel& model, std::vector<TokenId> prompt,
                               const GenerateOptions& options,
                               const std::function<void(TokenId)>& on_token,
                               const Progress& progress) {
    check_sample_options(options.sample);
    const ModelConfig& config = model.config();
    const auto prompt_tokens = static_cast<Index>(prompt.size());
    const Index end = std::min(generate_positions(config, prompt_tokens, options.max_new_tokens),
                               model.positions());
    GenerateResult result;
    result.prompt = std::move(prompt);

    auto start = std::chrono::steady_clock::now();
    KvCache cache(config, end);
    Matrix hidden(prompt_tokens, config.hidden_size);
    model.forward(result.prompt, &cache, hidden.data());
    Vector logits = model.logits(hidden.row(prompt_tokens - 1).data());
    result.prompt_seconds = seconds_since(start);

    start = std::chrono::steady_clock::now();
    Vector last(config.hidden_size);
    for (Index step = 0;; ++step) {
        const TokenId next = sample_token(logits, options.sample, static_cast<std::uint64_t>(step));
        if (options.stop_at_eos &&
            std::find(config.eos_ids.begin(), config.eos_ids.end(), next) != config.eos_ids.end()) {
            result.stop_reason = "eos";
            break;
        }
        result.tokens.push_back(next);
        if (on_token) on_token(next);
        if (step + 1 == options.max_new_tokens) {
            result.stop_reason = "max_new_tokens";
            break;
        }
        if (prompt_tokens + static_cast<Index>(result.tokens.size()) >= end) {
            result.stop_reason = "max_position";
            break;
        }
        if (progress.cancelled && progress.cancelled()) {
            result.stop_reason = "cancelled";
            break;
        }
        model.forward({&next, 1}, &cache, last.data());
        logits = model.logits(last.data());
    }
    result.decode_seconds = seconds_since(start);
    return result;
}

GenerateResult generate(const LanguageModel& model, const Tokenizer& tokenizer,
                        std::string_view prompt, const GenerateOptions& options,
                        const std::function<void(std::string_view)>& on_text,
                        const Progress& progress) {
    std::vector<TokenId> ids = tokenizer.encode(prompt, options.add_special);
    TextStream stream(tokenizer, ids);
    std::string text;
    const auto send = [&](std::string_view piece) {
        if (piece.empty()) return;
        text += piece;
        if (on_text) on_text(piece);
    };
    GenerateResult result = generate_tokens(
        model, std::move(ids), options, [&](TokenId id) { send(stream.push(id)); }, progress);
    send(stream.rest());
    result.text = std::move(text);
    return result;
}

}  // namespace vq
