// SPDX-License-Identifier: Apache-2.0
// UTF-8: code points and bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vq {

/// Length of the well-formed sequence at text[at] (> 0), or minus the length of the longest prefix
/// there that could have begun one (at least 1).
int utf8_sequence(std::string_view text, std::size_t at);

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

}  // namespace vq
