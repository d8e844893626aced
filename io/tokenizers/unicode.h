// SPDX-License-Identifier: Apache-2.0
// The few Unicode properties that tokenizers ask for. They follow the Unicode versions of
// the public `tokenizers` package, which differ from those of PCRE2 and utf8proc in Debian 12:
// newer_ranges() and newer_marks() list the differences.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace vq {

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
