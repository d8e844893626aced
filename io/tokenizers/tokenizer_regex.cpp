// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_regex.h"

#include <fmt/format.h>

#include <array>
#include <new>

#include "base/error.h"
#include "io/tokenizers/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace vq {
namespace {

// White_Space, as the inside of a class.
constexpr std::string_view white_space =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

constexpr std::string_view not_white_space =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";

// What Oniguruma's \w has besides letters, marks, digits and connectors: circled letters and the
// superscripts and fractions of Latin-1.
constexpr std::string_view other_word =
    R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

/// \p{name} and what newer Unicode versions added to it, as the inside of a class.
std::string property_class(const std::string& name) {
    std::string out = "\\p{" + name + "}";
    if (name.empty() || name.size() > 2) return out;
    for (const CategoryRange& range : newer_ranges()) {
        const std::string_view category(range.category, 2);
        if (!category.starts_with(name)) continue;
        fmt::format_to(std::back_inserter(out), "\\x{{{:x}}}-\\x{{{:x}}}",
                       static_cast<std::uint32_t>(range.first),
                       static_cast<std::uint32_t>(range.last));
    }
    return out;
}

/// Rewrites an Oniguruma pattern for PCRE2, character by character.
class Translator {
public:
    Translator(std::string_view pattern, const std::string& where)
        : pattern_(pattern), where_(where) {}

    std::string translate() {
        while (at_ < pattern_.size()) {
            const char c = pattern_[at_];
            if (c == '\\' && at_ + 1 < pattern_.size()) {
                escape(pattern_[at_ + 1]);
            } else if (c == '[' && !in_class_) {
                open_class();
            } else if (in_class_ && (c == '[' || pattern_.substr(at_).starts_with("&&"))) {
                reject("a class inside a class");
            } else {
                if (c == ']') in_class_ = false;
                out_ += c;
                ++at_;
            }
        }
        return out_;
    }

private:
    [[noreturn]] void reject(const std::string& what) const {
        throw Error(
            fmt::format("regular expression \"{}\" has {}, which is not supported", pattern_, what),
            where_, "use a tokenizer with a simpler pattern");
    }

    void open_class() {
        in_class_ = true;
        out_ += pattern_[at_++];
        if (at_ < pattern_.size() && pattern_[at_] == '^') out_ += pattern_[at_++];
        if (at_ < pattern_.size() && pattern_[at_] == ']') {  // a ] that comes first is literal
            out_ += "\\]";
            ++at_;
        }
    }

    /// Writes a set of characters, given as the inside of a class.
    void put_class(const std::string& inside, bool negated) {
        if (in_class_) {
            out_ += inside;
        } else {
            out_ += (negated ? "[^" : "[") + inside + "]";
        }
    }

    void escape(char letter) {
        at_ += 2;
        switch (letter) {
            case 's': return put_class(std::string(white_space), false);
            case 'S': return put_class(std::string(not_white_space), false);
            case 'd': return put_class(property_class("Nd"), false);
            case 'w': return put_class(word_class(), false);
            case 'W':
                if (in_class_) reject("\\W in a class");
                return put_class(word_class(), true);
            case 'D':
                if (in_class_) reject("\\D in a class");
                return put_class(property_class("Nd"), true);
            case 'v': out_ += "\\x{b}"; return;
            case 'p':
            case 'P': return property(letter == 'P');
            case 'h':
            case 'H':
            case 'N':
            case 'O':
            case 'X':
            case 'y':
            case 'Y': reject(fmt::format("\\{}", letter));
            default: out_ += {'\\', letter};
        }
    }

    /// \p{name}, \P{name}, \p{^name}; at_ stands behind the letter.
    void property(bool negated) {
        const std::size_t close = pattern_.find('}', at_);
        if (at_ >= pattern_.size() || pattern_[at_] != '{' || close == std::string_view::npos)
            reject("\\p without {...}");
        std::string name(pattern_.substr(at_ + 1, close - at_ - 1));
        if (name.starts_with('^')) {
            negated = !negated;
            name.erase(0, 1);
        }
        at_ = close + 1;
        if (negated && in_class_) {
            out_ += "\\P{" + name + "}";  // which has the newest code points of that category, too
        } else {
            put_class(property_class(name), negated);
        }
    }

    static std::string word_class() {
        return property_class("L") + property_class("M") + property_class("Nd") +
               property_class("Nl") + property_class("Pc") + std::string(other_word);
    }

    std::string_view pattern_;
    const std::string& where_;
    std::size_t at_ = 0;
    bool in_class_ = false;
    std::string out_;
};

}  // namespace

std::string pcre_pattern(std::string_view pattern, const std::string& where) {
    return Translator(pattern, where).translate();
}

struct Regex::Code {
    pcre2_code* code = nullptr;
    std::string pattern;
    std::string where;
    Code() = default;
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;
    ~Code() { pcre2_code_free(code); }
};

Regex::Regex(const std::string& pattern, const std::string& where) {
    auto code = std::make_shared<Code>();
    code->pattern = pattern;
    code->where = where;
    int error = 0;
    PCRE2_SIZE offset = 0;
    const std::string translated = pcre_pattern(pattern, where);
    code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                               PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                               &error, &offset, nullptr);
    if (code->code == nullptr) {
        std::array<PCRE2_UCHAR, 256> message{};
        pcre2_get_error_message(error, message.data(), message.size());
        throw Error(fmt::format("regular expression \"{}\" does not compile ({})", pattern,
                                reinterpret_cast<const char*>(message.data())),
                    where, "only patterns that PCRE2 understands are supported");
    }
    pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // without a JIT matching is only slower
    code_ = std::move(code);
}

std::vector<Span> Regex::split(std::string_view text) const {
    std::vector<Span> out;
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
        pcre2_match_data_create_from_pattern(code_->code, nullptr), pcre2_match_data_free);
    if (!data) throw std::bad_alloc();
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t covered = 0;  // bytes already in `out`
    std::size_t from = 0;     // where to look for the next match
    while (from <= text.size() && !text.empty()) {
        int count = pcre2_match(code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                data.get(), nullptr);
        if (count == PCRE2_ERROR_JIT_STACKLIMIT)
            count = pcre2_match(code_->code, subject, text.size(), from,
                                PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), nullptr);
        if (count == PCRE2_ERROR_NOMATCH) break;
        if (count < 0)
            throw Error(
                fmt::format("matching \"{}\" failed with PCRE2 error {}", code_->pattern, count),
                code_->where, "the pattern needs too many steps on this text");
        const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
        const std::size_t begin = ends[0];
        const std::size_t end = ends[1];
        if (end <= begin) {  // an empty match splits nothing off; go on behind the next character
            if (begin >= text.size()) break;
            from = begin + static_cast<std::size_t>(decode_utf8(text, begin).bytes);
            continue;
        }
        if (covered < begin) out.push_back({covered, begin, false});
        out.push_back({begin, end, true});
        covered = from = end;
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
    return out;
}

std::vector<Span> split_at_string(std::string_view text, std::string_view needle) {
    std::vector<Span> out;
    std::size_t covered = 0;
    if (!needle.empty()) {
        for (std::size_t at = text.find(needle); at != std::string_view::npos;
             at = text.find(needle, covered)) {
            if (covered < at) out.push_back({covered, at, false});
            covered = at + needle.size();
            out.push_back({at, covered, true});
        }
    }
    if (covered < text.size()) out.push_back({covered, text.size(), false});
    return out;
}

}  // namespace vq
