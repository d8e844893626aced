// SPDX-License-Identifier: Apache-2.0
// Regular expressions of tokenizer.json (Oniguruma's syntax) rewritten for PCRE2. Where the two
// read the same text differently ({2}+, [a[bc]], \p{Han}, (?i) before a |, \b, \h, ...) the result
// means what it means to Oniguruma; what cannot be rewritten is refused by name.
#pragma once

#include <string>
#include <string_view>

namespace vq {

/// Throws Error (with `where`) that names what is not supported, or what is no pattern at all.
/// The result is for PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE with LF as the only newline.
std::string pcre_pattern(std::string_view pattern, const std::string& where);

}  // namespace vq
