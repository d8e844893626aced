// SPDX-License-Identifier: Apache-2.0
// The regular expressions of tokenizer.json (Oniguruma syntax) on PCRE2: compiled once, matched by
// any number of threads. \s, \w, \d and \p{..} are rewritten so that they mean what they mean to
// the public `tokenizers` package (White_Space, its newer Unicode version).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vq {

/// Bytes [begin, end) of a text, and whether the pattern matched there.
struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool match = false;
};

class Regex {
public:
    /// Throws Error (with `where`) when the pattern does not compile.
    Regex(const std::string& pattern, const std::string& where);
    /// Covers valid UTF-8 `text` with alternating matches and gaps, in order; empty text gives
    /// none. Throws Error when PCRE2 gives up (its match limit, on a pathological pattern).
    std::vector<Span> split(std::string_view text) const;

private:
    struct Code;
    std::shared_ptr<const Code> code_;
};

/// Spans of `text` around every occurrence of `needle`, left to right, not overlapping.
std::vector<Span> split_at_string(std::string_view text, std::string_view needle);

/// The pattern as given to PCRE2 (see above). Throws Error for what the two syntaxes read
/// differently.
std::string pcre_pattern(std::string_view pattern, const std::string& where);

}  // namespace vq
