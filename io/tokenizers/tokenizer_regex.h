// SPDX-License-Identifier: Apache-2.0
// The regular expressions of tokenizer.json (Oniguruma syntax) on PCRE2, rewritten so that they mean
// what they mean to the public `tokenizers` package (regex_pattern.h): compiled once, matched by any
// number of threads.
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
    /// Covers valid UTF-8 `text` with matches and gaps, in order; empty text gives none. A match may
    /// be empty: it parts the gap around it. Throws Error when PCRE2 gives up (its match limit, on a
    /// pathological pattern).
    std::vector<Span> split(std::string_view text) const;

private:
    struct Code;
    std::shared_ptr<const Code> code_;
};

/// Spans of `text` around every occurrence of `needle`, left to right, not overlapping.
std::vector<Span> split_at_string(std::string_view text, std::string_view needle);

}  // namespace vq
