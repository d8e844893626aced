// SPDX-License-Identifier: Apache-2.0
// Sets of characters of a regular expression, as PCRE2 has to be given them so that they mean what
// they mean to Oniguruma, the engine of the public `tokenizers` package. Classes inside classes,
// intersections and properties of newer Unicode versions come out of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vq {

struct CharSet {
    std::string items;                ///< the inside of a PCRE2 class
    std::vector<std::string> others;  ///< patterns that match one character each
    bool negated = false;

    void add(char32_t value);
    void add_range(char32_t first, char32_t last);
    void add(const CharSet& set);
    bool empty() const { return items.empty() && others.empty(); }
    /// A PCRE2 pattern that matches exactly one character, a unit that a quantifier may follow.
    std::string pattern() const;
};

CharSet intersection(const std::vector<CharSet>& sets);

// What \s, \w, \d and \h stand for. Oniguruma's \w has superscripts and fractions of Latin-1, but
// not inside a class.
CharSet white_space_set();
CharSet word_set(bool in_class);
CharSet digit_set();
CharSet hex_digit_set();

/// \p{name}: general categories in their short and long names, scripts, and a few others. Nothing
/// when the name is not one whose meaning is known to be the same.
std::optional<CharSet> property_set(std::string_view name, bool in_class);

/// [:name:]
std::optional<CharSet> posix_set(std::string_view name);

}  // namespace vq
