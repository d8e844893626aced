// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "io/tokenizers/tokenizer_json_fields.h"
#include "io/tokenizers/tokenizer_steps.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

using nlohmann::json;
using Tokens = std::vector<std::string>;

constexpr std::string_view replacement_char = "\xEF\xBF\xBD";

/// Byte-level tokens back to bytes; a token with a character outside that alphabet stands for
/// itself.
void decode_byte_level(Tokens& tokens) {
    std::string bytes;
    for (const std::string& token : tokens) {
        const std::size_t begin = bytes.size();
        bool in_alphabet = true;
        for (std::size_t at = 0; at < token.size() && in_alphabet;) {
            const CodePoint point = decode_utf8(token, at);
            const int byte = byte_level_byte(point.value);
            in_alphabet = byte >= 0;
            if (in_alphabet) bytes.push_back(static_cast<char>(byte));
            at += static_cast<std::size_t>(point.bytes);
        }
        if (!in_alphabet) {
            bytes.resize(begin);
            bytes += token;
        }
    }
    tokens.assign(1, replace_invalid_utf8(bytes));
}

/// The byte of a token "<0x41>"; -1 for all others.
int fallback_byte(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
    int value = 0;
    for (const char c : {token[3], token[4]}) {
        int digit = -1;
        if (c >= '0' && c <= '9') digit = c - '0';
        if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
        if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/// Runs of byte tokens become text; a run that is not valid UTF-8 becomes one U+FFFD a byte.
void decode_byte_fallback(Tokens& tokens) {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
        if (bytes.empty()) return;
        if (is_valid_utf8(bytes)) {
            out.push_back(bytes);
        } else {
            out.insert(out.end(), bytes.size(), std::string(replacement_char));
        }
        bytes.clear();
    };
    for (std::string& token : tokens) {
        if (const int byte = fallback_byte(token); byte >= 0) {
            bytes.push_back(static_cast<char>(byte));
        } else {
            flush();
            out.push_back(std::move(token));
        }
    }
    flush();
    tokens = std::move(out);
}

/// Removes up to `start` leading and `stop` trailing copies of `mark`.
std::string strip(std::string_view token, std::string_view mark, std::size_t start,
                  std::size_t stop) {
    for (std::size_t i = 0; i < start && token.starts_with(mark); ++i)
        token.remove_prefix(mark.size());
    for (std::size_t i = 0; i < stop && token.ends_with(mark); ++i)
        token.remove_suffix(mark.size());
    return std::string(token);
}

TokenDecoder make_metaspace(const json& step, const std::string& where) {
    const std::string mark = json_string(step, "replacement", where);
    const bool prefixed =
        json_bool(step, "add_prefix_space", true, where) &&
        (!step.contains("prepend_scheme") || json_string(step, "prepend_scheme", where) != "never");
    if (mark.empty())
        throw Error("Metaspace replacement is empty", where, "download tokenizer.json again");
    return [mark, prefixed](Tokens& tokens) {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            std::string out;
            const std::string& token = tokens[i];
            for (std::size_t at = 0; at < token.size();) {
                if (token.compare(at, mark.size(), mark) == 0) {
                    if (i > 0 || !prefixed) out += ' ';
                    at += mark.size();
                } else {
                    out += token[at++];
                }
            }
            tokens[i] = std::move(out);
        }
    };
}

}  // namespace

std::vector<TokenDecoder> make_decoders(const json& step, const std::string& where) {
    std::vector<TokenDecoder> out;
    for (const json* s : json_steps(step, "decoders", where)) {
        const std::string type = json_string(*s, "type", where);
        if (type == "ByteLevel") {
            out.emplace_back(decode_byte_level);
        } else if (type == "ByteFallback") {
            out.emplace_back(decode_byte_fallback);
        } else if (type == "Fuse") {
            out.emplace_back([](Tokens& tokens) {
                std::string all;
                for (const std::string& token : tokens) all += token;
                tokens.clear();
                tokens.push_back(std::move(all));
            });
        } else if (type == "Metaspace") {
            out.push_back(make_metaspace(*s, where));
        } else if (type == "Replace") {
            out.emplace_back([replace = make_replace(*s, where)](Tokens& tokens) {
                for (std::string& token : tokens) token = replace(token);
            });
        } else if (type == "Strip") {
            const std::string mark = json_string(*s, "content", where);
            const std::size_t start = json_count(*s, "start", where);
            const std::size_t stop = json_count(*s, "stop", where);
            if (mark.empty())
                throw Error("Strip content is empty", where, "download tokenizer.json again");
            out.emplace_back([mark, start, stop](Tokens& tokens) {
                for (std::string& token : tokens) token = strip(token, mark, start, stop);
            });
        } else {
            throw Error(fmt::format("decoder \"{}\" is not supported", type), where,
                        "supported are ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, "
                        "Sequence");
        }
    }
    return out;
}

}  // namespace vq
