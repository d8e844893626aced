// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"

namespace vq {
namespace {

/// The range that `value` lies in; null if none.
const CategoryRange* newer_range(char32_t value) {
    const auto it = std::ranges::lower_bound(newer_ranges(), value, {}, &CategoryRange::last);
    return it != newer_ranges().end() && value >= it->first ? &*it : nullptr;
}

struct Category {
    char major;
    char minor;
};

Category category(char32_t value) {
    if (const CategoryRange* range = newer_range(value))
        return {range->category[0], range->category[1]};
    const char* name = utf8proc_category_string(static_cast<utf8proc_int32_t>(value));
    return {name[0], name[1]};
}

struct ByteLevelTables {
    std::array<char32_t, 256> to_char{};
    std::array<std::int16_t, 324> to_byte{};
};

constexpr ByteLevelTables make_byte_level_tables() {
    ByteLevelTables tables;
    for (auto& byte : tables.to_byte) byte = -1;
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
        const bool printable =
            (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        const char32_t value = printable ? static_cast<char32_t>(b) : next++;
        tables.to_char[static_cast<std::size_t>(b)] = value;
        tables.to_byte[value] = static_cast<std::int16_t>(b);
    }
    return tables;
}

constexpr ByteLevelTables byte_level = make_byte_level_tables();

int combining_class(std::int32_t value) {
    return utf8proc_get_property(value)->combining_class;
}

/// NFC of a text with code points that may compose. The reordering of marks is done here because
/// utf8proc's takes quadratic time on a long run of them.
std::string compose(std::string_view text) {
    constexpr auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    std::vector<std::int32_t> points;
    points.reserve(text.size());
    std::array<std::int32_t, 32> parts{};  // no code point decomposes into more than 4
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = decode_utf8(text, at);
        at += static_cast<std::size_t>(point.bytes);
        int boundary = 0;
        const utf8proc_ssize_t count = utf8proc_decompose_char(
            static_cast<std::int32_t>(point.value), parts.data(),
            static_cast<utf8proc_ssize_t>(parts.size()), options, &boundary);
        VQ_ASSERT(count > 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()));
        points.insert(points.end(), parts.begin(), parts.begin() + count);
    }
    for (auto begin = points.begin(); begin != points.end();) {
        const auto is_starter = [](std::int32_t value) { return combining_class(value) == 0; };
        begin = std::find_if_not(begin, points.end(), is_starter);
        const auto end = std::find_if(begin, points.end(), is_starter);
        std::ranges::stable_sort(begin, end, {}, combining_class);
        begin = end;
    }
    const utf8proc_ssize_t length = utf8proc_normalize_utf32(
        points.data(), static_cast<utf8proc_ssize_t>(points.size()), options);
    VQ_ASSERT(length >= 0 && length <= static_cast<utf8proc_ssize_t>(points.size()));
    std::string out;
    out.reserve(text.size());
    for (utf8proc_ssize_t i = 0; i < length; ++i)
        append_utf8(out, static_cast<char32_t>(points[static_cast<std::size_t>(i)]));
    return out;
}

bool is_newer_mark(char32_t value) {
    if (value < newer_marks().front().first) return false;
    const auto it = std::ranges::lower_bound(newer_marks(), value, {}, &CodePointRange::last);
    return it != newer_marks().end() && value >= it->first;
}

}  // namespace

bool is_white_space(char32_t value) {
    return (value >= 0x09 && value <= 0x0D) || value == 0x20 || value == 0x85 || value == 0xA0 ||
           value == 0x1680 || (value >= 0x2000 && value <= 0x200A) || value == 0x2028 ||
           value == 0x2029 || value == 0x202F || value == 0x205F || value == 0x3000;
}

bool is_numeric(char32_t value) {
    if (value < 0x80) return value >= '0' && value <= '9';
    return category(value).major == 'N';
}

bool is_word(char32_t value) {
    if (value < 0x80)
        return (value >= '0' && value <= '9') || (value >= 'A' && value <= 'Z') || value == '_' ||
               (value >= 'a' && value <= 'z');
    const auto [major, minor] = category(value);
    return major == 'L' || major == 'M' || (major == 'N' && minor != 'o') ||
           (major == 'P' && minor == 'c') || value == 0x200C || value == 0x200D ||
           // circled and squared letters: symbols that are alphabetic
           (value >= 0x24B6 && value <= 0x24E9) || (value >= 0x1F130 && value <= 0x1F149) ||
           (value >= 0x1F150 && value <= 0x1F169) || (value >= 0x1F170 && value <= 0x1F189);
}

std::string normalize_nfc(std::string_view text) {
    std::string out;
    std::size_t done = 0;  // bytes of `text` that are in `out`
    bool changes = false;  // only code points from U+0300 on take part in composition or reordering
    const auto flush = [&](std::size_t end) {
        const std::string_view part = text.substr(done, end - done);
        out += changes ? compose(part) : std::string(part);
        done = end;
        changes = false;
    };
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = decode_utf8(text, at);
        const std::size_t end = at + static_cast<std::size_t>(point.bytes);
        if (is_newer_mark(point.value)) {
            flush(at);
            flush(end);
        } else {
            changes |= point.value >= 0x300;
        }
        at = end;
    }
    flush(text.size());
    return out;
}

char32_t byte_level_char(std::uint8_t byte) {
    return byte_level.to_char[byte];
}

int byte_level_byte(char32_t value) {
    return value < byte_level.to_byte.size() ? byte_level.to_byte[value] : -1;
}

std::string to_byte_level(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 2);
    for (const char c : text) append_utf8(out, byte_level_char(static_cast<std::uint8_t>(c)));
    return out;
}

}  // namespace vq
