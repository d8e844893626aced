// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/added_tokens.h"

#include <algorithm>

#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// Start of the character that ends at text[end - 1]; end > 0.
std::size_t previous_char(std::string_view text, std::size_t end) {
    std::size_t at = end - 1;
    while (at > 0 && is_continuation(text[at])) --at;
    return at;
}

bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin > 0 && is_word(decode_utf8(text, previous_char(text, begin)).value)) ||
           (end < text.size() && is_word(decode_utf8(text, end).value));
}

}  // namespace

void AddedTokenMatcher::add(std::string_view text, const AddedToken& token) {
    if (text.empty()) return;
    std::uint32_t at = 0;
    for (const char c : text) {
        const auto byte = static_cast<std::uint8_t>(c);
        auto& children = nodes_[at].children;
        const auto it = std::find_if(children.begin(), children.end(),
                                     [&](const auto& child) { return child.first == byte; });
        if (it != children.end()) {
            at = it->second;
            continue;
        }
        const auto next = static_cast<std::uint32_t>(nodes_.size());
        children.emplace_back(byte, next);
        nodes_.emplace_back();
        at = next;
    }
    if (nodes_[at].token >= 0) return;
    nodes_[at].token = static_cast<std::int32_t>(tokens_.size());
    tokens_.push_back(token);
    starts_[static_cast<std::uint8_t>(text[0])] = true;
}

std::pair<std::int32_t, std::size_t> AddedTokenMatcher::longest_at(std::string_view text,
                                                                   std::size_t at) const {
    std::pair<std::int32_t, std::size_t> best{-1, 0};
    std::uint32_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
        const auto byte = static_cast<std::uint8_t>(text[i]);
        const auto& children = nodes_[node].children;
        const auto it = std::find_if(children.begin(), children.end(),
                                     [&](const auto& child) { return child.first == byte; });
        if (it == children.end()) break;
        node = it->second;
        if (nodes_[node].token >= 0) best = {nodes_[node].token, i + 1 - at};
    }
    return best;
}

std::vector<AddedTokenMatcher::Piece> AddedTokenMatcher::split(std::string_view text) const {
    std::vector<Piece> out;
    std::size_t covered = 0;
    for (std::size_t at = 0; at < text.size() && !tokens_.empty();) {
        if (!starts_[static_cast<std::uint8_t>(text[at])]) {
            ++at;
            continue;
        }
        const auto [index, length] = longest_at(text, at);
        if (index < 0) {
            ++at;
            continue;
        }
        const AddedToken& token = tokens_[static_cast<std::size_t>(index)];
        std::size_t begin = at;
        std::size_t end = at + length;
        at = end;
        if (token.single_word && touches_word(text, begin, end)) continue;
        if (token.lstrip) {
            while (begin > covered) {
                const std::size_t before = previous_char(text, begin);
                if (before < covered || !is_white_space(decode_utf8(text, before).value)) break;
                begin = before;
            }
        }
        if (token.rstrip) {
            while (end < text.size()) {
                const CodePoint next = decode_utf8(text, end);
                if (!is_white_space(next.value)) break;
                end += static_cast<std::size_t>(next.bytes);
            }
        }
        if (covered < begin) out.push_back({covered, begin, -1});
        out.push_back({begin, end, token.id});
        covered = end;
    }
    if (covered < text.size()) out.push_back({covered, text.size(), -1});
    return out;
}

}  // namespace vq
