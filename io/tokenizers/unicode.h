// SPDX-License-Identifier: Apache-2.0
// UTF-8 and the few Unicode properties that tokenizers ask for. They follow the Unicode versions of
// the public `tokenizers` package, which differ from those of PCRE2 and utf8proc in Debian 12:
// newer_ranges() and newer_marks() list the differences.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vq {

/// One code point of valid UTF-8 and the number of bytes that it takes.
struct CodePoint {
    char32_t value = 0;
    int bytes = 0;
};

/// The code point that starts at text[at]; `text` is valid UTF-8 and `at` stands on a lead byte.
CodePoint decode_utf8(std::string_view text, std::size_t at);

/// Appends the UTF-8 form of `value` (a Unicode scalar value) to `out`.
void append_utf8(std::string& out, char32_t value);

/// Whether `text` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_valid_utf8(std::string_view text);

/// `text` with every maximal ill-formed subsequence replaced by one U+FFFD, as Unicode recommends
/// and as Python's bytes.decode("utf-8", "replace") does.
std::string replace_invalid_utf8(std::string_view text);

/// White_Space property.
bool is_white_space(char32_t value);

/// General categories Nd, Nl, No.
bool is_numeric(char32_t value);

/// Letters, marks, decimal digits, letter numbers, connectors, joiners: what regular expressions
/// call a word character (UTS 18).
bool is_word(char32_t value);

/// Normalization form C of valid UTF-8, as of Unicode 9.0: marks that came later stay where they
/// are.
std::string normalize_nfc(std::string_view text);

/// Code points whose general category (two letters, "Lo") PCRE2 and utf8proc do not know yet.
struct CategoryRange {
    char32_t first;
    char32_t last;
    char category[3];
};
std::span<const CategoryRange> newer_ranges();

/// Code points that utf8proc composes or reorders and Unicode 9.0 did not know; in rising order.
struct CodePointRange {
    char32_t first;
    char32_t last;
};
std::span<const CodePointRange> newer_marks();

/// The byte-level alphabet of GPT-2: every byte as a printable code point below 324.
char32_t byte_level_char(std::uint8_t byte);

/// The byte that a code point of that alphabet stands for; -1 for all others.
int byte_level_byte(char32_t value);

/// Every byte of `text` as its byte-level code point.
std::string to_byte_level(std::string_view text);

}  // namespace vq
