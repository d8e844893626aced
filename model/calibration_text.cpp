// SPDX-License-Identifier: Apache-2.0
#include "model/calibration_text.h"

#include <algorithm>
#include <cstddef>

#include "base/error.h"
#include "base/hash.h"

namespace vq {

namespace {

constexpr std::size_t bytes_per_token_guess = 8;

// The first position at or after `from` that begins a line, or else a character.
std::size_t snap(std::string_view text, std::size_t from, std::size_t to) {
    if (from == 0) return 0;
    const std::size_t line = text.find('\n', from - 1);
    if (line != std::string_view::npos && line + 1 < to) return line + 1;
    while (from < to && (static_cast<unsigned char>(text[from]) & 0xC0U) == 0x80U) ++from;
    return from;
}

// The first `ctx` tokens of a stretch, or fewer when it has no more. Only as much of the stretch
// is encoded as is needed; the tokens next to the cut are not used.
std::vector<TokenId> first_tokens(std::string_view stretch, const Tokenizer& tokenizer, Index ctx) {
    const auto wanted = static_cast<std::size_t>(ctx);
    for (std::size_t bytes = wanted * bytes_per_token_guess;; bytes *= 2) {
        const bool whole = bytes >= stretch.size();
        std::size_t end = whole ? stretch.size() : bytes;
        while (!whole && end > 0 && (static_cast<unsigned char>(stretch[end]) & 0xC0U) == 0x80U)
            --end;
        std::vector<TokenId> ids = tokenizer.encode(stretch.substr(0, end), false);
        if (!whole && ids.size() < wanted + 16) continue;
        ids.resize(std::min(ids.size(), wanted));
        return ids;
    }
}

// `count` windows of `ctx` tokens, each from the beginning of one of `count` equal parts of the
// text; empty when a part is too short.
std::vector<std::vector<TokenId>> spread(std::string_view text, const Tokenizer& tokenizer,
                                         Index ctx, Index count) {
    std::vector<std::vector<TokenId>> windows;
    const auto parts = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t end = text.size() / parts * (i + 1);
        const std::size_t begin = snap(text, text.size() / parts * i, end);
        windows.push_back(first_tokens(text.substr(begin, end - begin), tokenizer, ctx));
        if (static_cast<Index>(windows.back().size()) < ctx) return {};
    }
    return windows;
}

// All of a short text, encoded at once and cut into at most `count` windows, evenly spread.
std::vector<std::vector<TokenId>> cut(std::string_view text, const Tokenizer& tokenizer, Index ctx,
                                      Index count) {
    const std::vector<TokenId> ids = tokenizer.encode(text, false);
    const auto total = static_cast<Index>(ids.size());
    const Index available = (total + ctx - 1) / ctx;
    const Index taken = std::min(count, available);
    std::vector<std::vector<TokenId>> windows;
    for (Index i = 0; i < taken; ++i) {
        const Index first =
            taken == available ? i * ctx : (total - ctx) * i / std::max<Index>(1, taken - 1);
        const Index last = std::min(first + ctx, total);
        windows.emplace_back(ids.begin() + first, ids.begin() + last);
    }
    return windows;
}

// The lines of a file that are not empty.
std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back(line);
    }
    return lines;
}

std::string conversation(std::string_view line, std::size_t number, const std::string& name,
                         const ChatTemplate& chat) {
    const auto refuse = [&](const char* what) {
        throw Error(
            what, name + ", conversation " + std::to_string(number + 1),
            "each line is a JSON object {\"messages\": [{\"role\": ..., \"content\": ...}]}");
    };
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded()) refuse("is not JSON");
    const Json* messages = json.is_array() ? &json : nullptr;
    if (json.is_object() && json.contains("messages")) messages = &json["messages"];
    if (messages == nullptr || !messages->is_array() || messages->empty())
        refuse("has no list of messages");
    return chat.render(*messages, false);
}

// Conversations spread over the file until they have `share` tokens: 0, 1/2, 1/4, 3/4, 1/8, ... of
// the way, so that any number of them is spread.
std::vector<std::vector<TokenId>> conversations(const NamedText& file, const Tokenizer& tokenizer,
                                                const ChatTemplate& chat, Index ctx, Index share) {
    const std::vector<std::string_view> lines = lines_of(file.text);
    std::vector<std::vector<TokenId>> windows(lines.size());
    Index got = 0;
    int bits = 0;
    while ((std::size_t{1} << bits) < lines.size()) ++bits;
    for (std::size_t i = 0; i < (std::size_t{1} << bits) && got < share; ++i) {
        std::size_t at = 0;
        for (int b = 0; b < bits; ++b) at |= (i >> b & 1U) << (bits - 1 - b);
        if (at >= lines.size()) continue;
        windows[at] = tokenizer.encode(conversation(lines[at], at, file.name, chat), false);
        windows[at].resize(std::min(windows[at].size(), static_cast<std::size_t>(ctx)));
        got += static_cast<Index>(windows[at].size());
    }
    std::erase_if(windows, [](const auto& window) { return window.empty(); });
    return windows;
}

}  // namespace

CalibrationText calibration_windows(const std::vector<NamedText>& texts, const Tokenizer& tokenizer,
                                    Index ctx, Index tokens, const Progress& progress,
                                    const ChatTemplate* chat) {
    if (texts.empty())
        throw Error("there is no calibration text", "calibration", "give at least one text file");
    if (ctx < 1 || tokens < 1)
        throw Error("calibration needs at least one token",
                    "ctx " + std::to_string(ctx) + ", tokens " + std::to_string(tokens),
                    "use larger numbers");
    CalibrationText out;
    Hasher hasher;
    const auto files = static_cast<Index>(texts.size());
    for (Index f = 0; f < files; ++f) {
        const NamedText& text = texts[static_cast<std::size_t>(f)];
        progress.check();
        const Index share = tokens * (f + 1) / files - tokens * f / files;
        const Index count = std::max<Index>(1, (share + ctx / 2) / ctx);
        VQ_ASSERT(!text.chat || chat != nullptr);
        const Index wanted = text.chat ? share : count * ctx;
        std::vector<std::vector<TokenId>> windows;
        if (text.chat)
            windows = conversations(text, tokenizer, *chat, ctx, share);
        else
            windows = spread(text.text, tokenizer, ctx, count);
        if (windows.empty() && !text.chat) windows = cut(text.text, tokenizer, ctx, count);
        if (windows.empty())
            throw Error("the calibration text is empty", text.name, "give a text file with text");
        Index got = 0;
        for (auto& window : windows) {
            got += static_cast<Index>(window.size());
            hasher.add(std::string_view(reinterpret_cast<const char*>(window.data()),
                                        window.size() * sizeof(TokenId)));
            out.windows.push_back(std::move(window));
        }
        if (got < wanted)
            progress.log(text.name + " has only " + std::to_string(got) + " of the " +
                         std::to_string(wanted) + " calibration tokens wanted of it");
        out.tokens += got;
    }
    out.hash = hasher.hex();
    return out;
}

}  // namespace vq
