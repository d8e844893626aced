// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/regex_class.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

std::string code_point(char32_t value) {
    if ((value >= '0' && value <= '9') || (value >= 'A' && value <= 'Z') ||
        (value >= 'a' && value <= 'z'))
        return std::string(1, static_cast<char>(value));
    return fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(value));
}

CharSet of_items(std::string_view items) {
    CharSet set;
    set.items = items;
    return set;
}

/// A general category (one or two letters) and what newer Unicode versions added to it.
CharSet category_set(std::string_view name) {
    CharSet set = of_items("\\p{" + std::string(name) + "}");
    CharSet left;  // to PCRE2 newer code points are unassigned
    for (const CategoryRange& range : newer_ranges()) {
        if (std::string_view(range.category, 2).starts_with(name))
            set.add_range(range.first, range.last);
        else
            left.add_range(range.first, range.last);
    }
    // The one code point whose category changed.
    if (name == "Mc") set.add(U'\x1171e');
    if (name == "Mn") left.items = "\\x{1171e}";
    if (name != "C" && name != "Cn" && name != "Mn") return set;
    left.negated = true;
    return intersection({left, set});
}

struct Alias {
    std::string_view name;  ///< in lower case, without spaces, '_' and '-'
    std::string_view category;
};

constexpr std::array categories{
    Alias{"letter", "L"},
    Alias{"uppercaseletter", "Lu"},
    Alias{"lowercaseletter", "Ll"},
    Alias{"titlecaseletter", "Lt"},
    Alias{"modifierletter", "Lm"},
    Alias{"otherletter", "Lo"},
    Alias{"mark", "M"},
    Alias{"nonspacingmark", "Mn"},
    Alias{"spacingmark", "Mc"},
    Alias{"enclosingmark", "Me"},
    Alias{"number", "N"},
    Alias{"decimalnumber", "Nd"},
    Alias{"digit", "Nd"},
    Alias{"letternumber", "Nl"},
    Alias{"othernumber", "No"},
    Alias{"punctuation", "P"},
    Alias{"connectorpunctuation", "Pc"},
    Alias{"dashpunctuation", "Pd"},
    Alias{"openpunctuation", "Ps"},
    Alias{"closepunctuation", "Pe"},
    Alias{"initialpunctuation", "Pi"},
    Alias{"finalpunctuation", "Pf"},
    Alias{"otherpunctuation", "Po"},
    Alias{"symbol", "S"},
    Alias{"mathsymbol", "Sm"},
    Alias{"currencysymbol", "Sc"},
    Alias{"modifiersymbol", "Sk"},
    Alias{"othersymbol", "So"},
    Alias{"separator", "Z"},
    Alias{"spaceseparator", "Zs"},
    Alias{"lineseparator", "Zl"},
    Alias{"paragraphseparator", "Zp"},
    Alias{"other", "C"},
    Alias{"control", "Cc"},
    Alias{"cntrl", "Cc"},
    Alias{"format", "Cf"},
    Alias{"privateuse", "Co"},
    Alias{"unassigned", "Cn"},
};

constexpr std::array<std::string_view, 36> short_categories{
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd",
    "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm",
    "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cn"};

struct Script {
    std::string_view name;
    std::string_view newer;  ///< what Unicode 15 and 16 added, as the inside of a class
};

// \p{Han} of PCRE2 would be the extension property (scx), \p{sc:Han} is the script itself.
constexpr std::array scripts{
    Script{"Arabic", R"(\x{897}\x{10ec2}-\x{10ec4}\x{10efc}-\x{10eff})"},
    Script{"Bopomofo", ""},
    Script{"Cyrillic", R"(\x{1c89}\x{1c8a}\x{1e030}-\x{1e06d}\x{1e08f})"},
    Script{"Devanagari", R"(\x{11b00}-\x{11b09})"},
    Script{"Greek", ""},
    Script{"Han", R"(\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})"},
    Script{"Hangul", ""},
    Script{"Hebrew", ""},
    Script{"Hiragana", R"(\x{1b132})"},
    Script{"Katakana", R"(\x{1b155})"},
    Script{"Latin", R"(\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{1df25}-\x{1df2a})"},
    Script{"Thai", ""},
};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_letters(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

void CharSet::add(char32_t value) {
    items += code_point(value);
}

void CharSet::add_range(char32_t first, char32_t last) {
    items += code_point(first);
    if (last == first) return;
    items += '-';
    items += code_point(last);
}

void CharSet::add(const CharSet& set) {
    if (set.negated) {
        others.push_back(set.pattern());
    } else {
        items += set.items;
        others.insert(others.end(), set.others.begin(), set.others.end());
    }
}

std::string CharSet::pattern() const {
    if (others.empty()) return (negated ? "[^" : "[") + items + "]";
    std::string any = "(?:";
    if (!items.empty()) any += "[" + items + "]|";
    for (const std::string& other : others) any += other + "|";
    any.back() = ')';
    return negated ? "(?:(?!" + any + ")(?s:.))" : any;
}

CharSet intersection(const std::vector<CharSet>& sets) {
    if (sets.size() == 1) return sets.front();
    std::string all = "(?:";
    for (std::size_t i = 0; i + 1 < sets.size(); ++i) all += "(?=" + sets[i].pattern() + ")";
    CharSet set;
    set.others.push_back(all + sets.back().pattern() + ")");
    return set;
}

CharSet white_space_set() {
    return of_items(R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a})"
                    R"(\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})");
}

CharSet word_set(bool in_class) {
    CharSet set;
    for (const char* name : {"L", "M", "Nd", "Nl", "Pc"}) set.add(category_set(name));
    // Circled letters are letters to Oniguruma.
    if (!in_class) set.items += R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
    set.items += R"(\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
    return set;
}

CharSet digit_set() {
    return category_set("Nd");
}

CharSet hex_digit_set() {
    return of_items("0-9A-Fa-f");
}

std::optional<CharSet> property_set(std::string_view name, bool in_class) {
    std::string plain;
    for (const char c : name)
        if (c != ' ' && c != '_' && c != '-') plain += lower(c);
    for (const std::string_view category : short_categories)
        if (same_letters(plain, category)) return category_set(category);
    for (const Alias& alias : categories)
        if (plain == alias.name) return category_set(alias.category);
    for (const Script& script : scripts)
        if (same_letters(plain, script.name))
            return of_items(fmt::format("\\p{{sc:{}}}{}", script.name, script.newer));
    if (plain == "space" || plain == "whitespace") return white_space_set();
    if (plain == "word") return word_set(in_class);
    if (plain == "xdigit") return hex_digit_set();
    if (plain == "ascii") return of_items(R"(\x{0}-\x{7f})");
    if (plain == "blank") return of_items(R"(\p{Zs}\x{9})");
    if (plain == "punct") return category_set("P");
    return std::nullopt;
}

std::optional<CharSet> posix_set(std::string_view name) {
    constexpr std::array<std::string_view, 7> names{"ascii", "blank", "cntrl", "digit",
                                                    "space", "word",  "xdigit"};
    if (std::ranges::find(names, name) != names.end()) return property_set(name, true);
    if (name != "punct") return std::nullopt;
    CharSet set = category_set("P");
    set.add(category_set("S"));
    return set;
}

}  // namespace vq
