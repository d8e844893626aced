// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "io/tokenizers/tokenizer_json_fields.h"
#include "io/tokenizers/tokenizer_regex.h"
#include "io/tokenizers/tokenizer_steps.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

using nlohmann::json;

std::string strip_white_space(std::string_view text, bool left, bool right) {
    while (left && !text.empty()) {
        const CodePoint first = decode_utf8(text, 0);
        if (!is_white_space(first.value)) break;
        text.remove_prefix(static_cast<std::size_t>(first.bytes));
    }
    while (right && !text.empty()) {
        std::size_t at = text.size() - 1;
        while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
        if (!is_white_space(decode_utf8(text, at).value)) break;
        text.remove_suffix(text.size() - at);
    }
    return std::string(text);
}

}  // namespace

std::function<std::string(std::string_view)> make_replace(const json& step,
                                                          const std::string& where) {
    const JsonPattern pattern = json_pattern(step, "pattern", where);
    const std::string content = json_string(step, "content", where);
    std::function<std::vector<Span>(std::string_view)> split;
    if (pattern.is_regex) {
        split = [regex = Regex(pattern.text, where)](std::string_view t) { return regex.split(t); };
    } else {
        split = [needle = pattern.text](std::string_view t) { return split_at_string(t, needle); };
    }
    return [split = std::move(split), content](std::string_view text) {
        std::string out;
        out.reserve(text.size());
        for (const Span& span : split(text)) {
            if (span.match) {
                out += content;
            } else {
                out += text.substr(span.begin, span.end - span.begin);
            }
        }
        return out;
    };
}

std::vector<Normalizer> make_normalizers(const json& step, const std::string& where) {
    std::vector<Normalizer> out;
    for (const json* s : json_steps(step, "normalizers", where)) {
        const std::string type = json_string(*s, "type", where);
        if (type == "NFC") {
            out.emplace_back([](const std::string& text) { return normalize_nfc(text); });
        } else if (type == "Prepend") {
            out.emplace_back([prefix = json_string(*s, "prepend", where)](const std::string& text) {
                return text.empty() ? text : prefix + text;
            });
        } else if (type == "Replace") {
            out.emplace_back(make_replace(*s, where));
        } else if (type == "Strip") {
            const bool left = json_bool(*s, "strip_left", false, where);
            const bool right = json_bool(*s, "strip_right", false, where);
            out.emplace_back([left, right](const std::string& text) {
                return strip_white_space(text, left, right);
            });
        } else if (type == "ByteLevel") {
            out.emplace_back([](const std::string& text) { return to_byte_level(text); });
        } else {
            throw Error(fmt::format("normalizer \"{}\" is not supported", type), where,
                        "supported are NFC, Replace, Prepend, Strip, ByteLevel, Sequence");
        }
    }
    return out;
}

}  // namespace vq
