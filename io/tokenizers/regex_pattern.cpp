// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/regex_pattern.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/tokenizers/regex_class.h"
#include "io/tokenizers/unicode.h"

namespace vq {
namespace {

constexpr int max_depth = 200;
constexpr std::uint32_t max_repeats = 65535;  // of PCRE2

bool is_ascii_letter(char32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

CharSet negated(CharSet set) {
    set.negated = !set.negated;
    return set;
}

/// A part of a pattern, rewritten.
struct Atom {
    std::string text;
    bool repeatable = true;  ///< false for anchors and look-around
};

/// Reads the pattern by recursive descent; what a production returns is its PCRE2 form.
class Translator {
public:
    Translator(std::string_view pattern, const std::string& where)
        : pattern_(pattern), where_(where) {
        if (!is_valid_utf8(pattern)) fail("is not UTF-8");
    }

    std::string translate() {
        std::string out = alternatives();
        if (at_ < pattern_.size()) fail("has a ) too many");
        return out;
    }

private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Error(fmt::format("regular expression \"{}\" {}", pattern_, what), where_,
                    "use a tokenizer with another pattern");
    }
    [[noreturn]] void reject(const std::string& what) const {
        fail("has " + what + ", which is not supported");
    }

    bool done() const { return at_ >= pattern_.size(); }
    char peek(std::size_t ahead = 0) const {
        return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
    }
    bool take(std::string_view text) {
        if (!pattern_.substr(at_).starts_with(text)) return false;
        at_ += text.size();
        return true;
    }
    char32_t next_code_point() {
        const CodePoint point = decode_utf8(pattern_, at_);
        at_ += static_cast<std::size_t>(point.bytes);
        return point.value;
    }

    /// Up to the ) that ends a group, or the end.
    std::string alternatives() {
        if (++depth_ > max_depth) fail("is nested too deeply");
        std::string out;
        while (true) {
            out += sequence();
            if (!take("|")) break;
            out += '|';
        }
        --depth_;
        return out;
    }

    std::string sequence() {
        std::string out;
        last_literal_ = 0;
        while (!done() && peek() != '|' && peek() != ')') {
            const Atom atom = next_atom();
            out += repeated(atom);
        }
        return out;
    }

    Atom next_atom() {
        const char c = peek();
        if (c == '*' || c == '+' || c == '?') fail("repeats nothing");
        if (c != '\\' && c != '[' && c != '(' && c != '.' && c != '^' && c != '$')
            return literal(next_code_point());
        last_literal_ = 0;
        ++at_;
        switch (c) {
            case '\\': return escape();
            case '[': return {char_class().pattern()};
            case '(': return group();
            case '.': return {dot_all_ ? "(?s:.)" : "[^\\n]"};
            default: return {std::string(1, c), false};
        }
    }

    /// Ignoring case, Oniguruma lets one character stand for two ("ss" and "ß"), PCRE2 never does.
    Atom literal(char32_t value) {
        if (ignore_case_) {
            if (value > 127) reject("letters outside ASCII under (?i)");
            const char32_t folded = is_ascii_letter(value) ? value | 0x20 : value;
            for (const std::string_view pair : {"ss", "ff", "fi", "fl", "st"})
                if (last_literal_ == static_cast<char32_t>(pair[0]) &&
                    folded == static_cast<char32_t>(pair[1]))
                    reject(fmt::format("\"{}\" under (?i)", pair));
            last_literal_ = folded;
        } else {
            last_literal_ = value;
        }
        CharSet one;
        one.add(value);
        return {one.items};
    }

    // ---- repetition

    struct Count {
        std::uint32_t least = 0;
        std::optional<std::uint32_t> most;
        bool fixed = false;  ///< {n}
    };

    std::optional<std::uint32_t> number() {
        if (!is_digit(peek())) return std::nullopt;
        std::uint32_t value = 0;
        while (is_digit(peek())) {
            value = value * 10 + static_cast<std::uint32_t>(pattern_[at_++] - '0');
            if (value > max_repeats) reject(fmt::format("more than {} repeats", max_repeats));
        }
        return value;
    }

    /// {n}, {n,}, {,m} or {n,m}; anything else leaves the brace to be a literal.
    std::optional<Count> braces() {
        const std::size_t begin = at_;
        Count count;
        ++at_;
        const auto least = number();
        count.least = least.value_or(0);
        count.fixed = !take(",");
        if (count.fixed)
            count.most = least;
        else
            count.most = number();
        if (take("}") && (least || count.most)) {
            if (count.most && *count.most < count.least) reject("a repeat count of more to less");
            return count;
        }
        at_ = begin;
        return std::nullopt;
    }

    std::string repeated(const Atom& atom) {
        std::string out = atom.text;
        bool plain = true;  // `out` is one unit that a quantifier may follow
        while (!done()) {
            const char c = peek();
            std::optional<Count> count;
            if (c == '{') count = braces();
            if (!count && c != '*' && c != '+' && c != '?') break;
            if (!atom.repeatable) reject("a repeated anchor");
            if (!count) ++at_;
            last_literal_ = 0;
            if (!plain) out = "(?:" + out + ")";
            plain = false;
            if (!count) {
                out += c;
                if (take("?"))
                    out += '?';
                else if (take("+"))
                    out += '+';
            } else if (count->fixed) {
                // A ? or + behind {n} repeats the whole once more; it makes nothing lazy.
                out += fmt::format("{{{}}}", count->least);
            } else {
                out += count->most ? fmt::format("{{{},{}}}", count->least, *count->most)
                                   : fmt::format("{{{},}}", count->least);
                if (take("?")) out += '?';
            }
        }
        return out;
    }

    // ---- groups

    Atom group() {
        if (peek() == '*') reject("(*...)");
        if (peek() != '?') return close("(?:", true);
        ++at_;
        if (take("#")) {
            const std::size_t end = pattern_.find(')', at_);
            if (end == std::string_view::npos) fail("has a comment without end");
            at_ = end + 1;
            return {"", false};
        }
        for (const std::string_view kind : {":", ">"})
            if (take(kind)) return close("(?" + std::string(kind), true);
        for (const std::string_view kind : {"=", "!", "<=", "<!"})
            if (take(kind)) return close("(?" + std::string(kind), false);
        // Names matter to references only, which are refused.
        for (const auto& [open, end] : {std::pair{'<', '>'}, std::pair{'\'', '\''}}) {
            if (peek() != open) continue;
            const std::size_t stop = pattern_.find(end, at_ + 1);
            if (stop == std::string_view::npos) fail("has a group name without end");
            at_ = stop + 1;
            return close("(?:", true);
        }
        return options();
    }

    Atom close(const std::string& open, bool repeatable) {
        const std::string inside = alternatives();
        if (!take(")")) fail("has a ( without )");
        last_literal_ = 0;
        return {open + inside + ")", repeatable};
    }

    /// (?i:...), (?m:...), (?i-m:...), and the same without a colon, which holds to the end of the
    /// group around it, over all alternatives that follow.
    Atom options() {
        const bool old_case = ignore_case_;
        const bool old_dot = dot_all_;
        bool on = true;
        while (!done() && peek() != ':' && peek() != ')') {
            const char c = pattern_[at_++];
            if (c == '-')
                on = false;
            else if (c == 'i')
                ignore_case_ = on;
            else if (c == 'm')
                dot_all_ = on;  // Ruby's m is what others call s
            else
                reject(fmt::format("(?{}", c));
        }
        const std::string open = ignore_case_ ? "(?i:" : "(?-i:";
        Atom atom;
        if (take(":"))
            atom = close(open, true);
        else if (take(")"))
            atom = {open + alternatives() + ")", false};
        else
            fail("has a ( without )");
        ignore_case_ = old_case;
        dot_all_ = old_dot;
        return atom;
    }

    // ---- escapes

    /// Behind a backslash, inside a class or not: a set of characters, if it is one.
    std::optional<CharSet> escaped_set(bool in_class) {
        const char c = peek();
        std::optional<CharSet> set;
        if (c == 's' || c == 'S') set = white_space_set();
        if (c == 'd' || c == 'D') set = digit_set();
        if (c == 'h' || c == 'H') set = hex_digit_set();
        if (c == 'w' || c == 'W') set = word_set(in_class);
        if (c == 'p' || c == 'P') return property(in_class);
        if (!set) return std::nullopt;
        if (ignore_case_ && (c == 'w' || c == 'W')) reject(fmt::format("\\{} under (?i)", c));
        ++at_;
        return c < 'a' ? negated(*set) : *set;
    }

    /// \p{name}, \P{name}, \p{^name}
    CharSet property(bool in_class) {
        bool inverse = pattern_[at_++] == 'P';
        const std::size_t end = pattern_.find('}', at_);
        if (peek() != '{' || end == std::string_view::npos) reject("\\p without {...}");
        std::string_view name = pattern_.substr(at_ + 1, end - at_ - 1);
        if (name.starts_with('^')) {
            inverse = !inverse;
            name.remove_prefix(1);
        }
        const auto set = property_set(name, in_class);
        if (!set) reject(fmt::format("the property \"{}\"", name));
        if (ignore_case_) reject("a property under (?i)");
        at_ = end + 1;
        return inverse ? negated(*set) : *set;
    }

    /// Behind a backslash: a single character, in any notation.
    char32_t escaped_char(bool in_class) {
        const char c = peek();
        switch (c) {
            case 't': ++at_; return '\t';
            case 'n': ++at_; return '\n';
            case 'v': ++at_; return '\v';
            case 'f': ++at_; return '\f';
            case 'r': ++at_; return '\r';
            case 'a': ++at_; return '\a';
            case 'e': ++at_; return 0x1B;
            case 'x': return hexadecimal();
            case 'u': ++at_; return digits(4, 4, 16);
            case '0': return ascii(digits(1, 3, 8));
            default: break;
        }
        if (in_class && c == 'b') {
            ++at_;
            return '\b';
        }
        if (c >= '1' && c <= '9') reject("a reference to a group");
        if (is_ascii_letter(static_cast<unsigned char>(c))) reject(fmt::format("\\{}", c));
        if (done()) fail("ends with a backslash");
        return next_code_point();
    }

    char32_t digits(int least, int most, int base) {
        char32_t value = 0;
        int count = 0;
        for (; count < most; ++count) {
            const char c = peek();
            const int digit = is_digit(c)            ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : 99;
            if (digit >= base) break;
            value = value * static_cast<char32_t>(base) + static_cast<char32_t>(digit);
            ++at_;
        }
        if (count < least) reject("a number of too few digits");
        if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) reject("no character");
        return value;
    }

    char32_t hexadecimal() {
        ++at_;
        if (!take("{")) return ascii(digits(1, 2, 16));
        const char32_t value = digits(1, 8, 16);
        if (!take("}")) reject("\\x{...} of more than one character");
        return value;
    }

    /// Short numbers mean bytes, not characters.
    char32_t ascii(char32_t value) const {
        if (value > 127) reject("a byte above 127");
        return value;
    }

    Atom escape() {
        if (const auto set = escaped_set(false)) return {set->pattern()};
        const std::string word = word_set(false).pattern();
        const auto boundary = [&](const char* same, const char* other) {
            return Atom{fmt::format("(?:(?<={0})(?{1}{0})|(?<!{0})(?{2}{0}))", word, same, other),
                        false};
        };
        switch (peek()) {
            case 'b': ++at_; return boundary("!", "=");
            case 'B': ++at_; return boundary("=", "!");
            case 'A':
            case 'z': return {std::string{'\\', pattern_[at_++]}, false};
            case 'Z': ++at_; return {"(?=\\n?\\z)", false};
            case 'N': ++at_; return {"[^\\n]"};
            case 'O': ++at_; return {"(?s:.)"};
            case 'R': ++at_; return {"(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"};
            default: return literal(escaped_char(false));
        }
    }

    // ---- classes

    /// Behind its [.
    CharSet char_class() {
        if (++depth_ > max_depth) fail("is nested too deeply");
        const bool inverse = take("^");
        std::vector<CharSet> operands(1);
        bool first = true;
        while (first || peek() != ']') {
            if (done()) fail("has a [ without ]");
            if (take("&&"))
                operands.emplace_back();
            else
                class_item(operands.back(), first);
            first = false;
        }
        ++at_;
        --depth_;
        for (const CharSet& operand : operands)
            if (operand.empty()) reject("an empty class");
        const CharSet set = intersection(operands);
        return inverse ? negated(set) : set;
    }

    /// [:name:] and [:^name:]
    std::optional<CharSet> posix_bracket() {
        const std::size_t end = pattern_.find(":]", at_ + 2);
        if (!pattern_.substr(at_).starts_with("[:") || end == std::string_view::npos)
            return std::nullopt;
        std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
        const bool inverse = name.starts_with('^');
        if (inverse) name.remove_prefix(1);
        const auto set = posix_set(name);
        if (!set) reject(fmt::format("[:{}:]", name));
        if (ignore_case_) reject(fmt::format("[:{}:] under (?i)", name));
        at_ = end + 2;
        return inverse ? negated(*set) : *set;
    }

    /// A set that stands inside a class, if there is one.
    std::optional<CharSet> inner_set() {
        if (peek() == '[') {
            if (auto set = posix_bracket()) return set;
            ++at_;
            return char_class();
        }
        if (peek() != '\\') return std::nullopt;
        ++at_;
        auto set = escaped_set(true);
        if (!set) --at_;
        return set;
    }

    char32_t class_char() {
        const char32_t value = take("\\") ? escaped_char(true) : next_code_point();
        if (ignore_case_ && value > 127) reject("letters outside ASCII under (?i)");
        return value;
    }

    void class_item(CharSet& out, bool first) {
        if (first && peek() == ']' && pattern_.find(']', at_ + 1) == std::string_view::npos)
            fail("has an empty class");
        const auto minus_follows = [&] { return peek() == '-' && peek(1) != ']'; };
        if (const auto set = inner_set()) {
            if (minus_follows()) reject("a range that begins with a set");
            out.add(*set);
            return;
        }
        const char32_t low = class_char();
        const bool range = minus_follows() && !pattern_.substr(at_ + 1).starts_with("&&");
        if (!range) {
            out.add(low);
            return;
        }
        ++at_;
        if (inner_set()) reject("a range that ends with a set");
        const char32_t high = class_char();
        if (high < low) reject("a range of more to less");
        out.add_range(low, high);
    }

    std::string_view pattern_;
    const std::string& where_;
    std::size_t at_ = 0;
    int depth_ = 0;
    bool ignore_case_ = false;
    bool dot_all_ = false;
    char32_t last_literal_ = 0;  ///< the character just before, if it is one that is not repeated
};

}  // namespace

std::string pcre_pattern(std::string_view pattern, const std::string& where) {
    return Translator(pattern, where).translate();
}

}  // namespace vq
