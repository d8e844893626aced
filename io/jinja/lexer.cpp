// SPDX-License-Identifier: Apache-2.0
#include "io/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/utf8.h"
#include "io/jinja/value.h"

namespace vq::jinja {
namespace {

// Words of a tag: what is made of them is gone through with the stack, a level a word at most.
constexpr int longest_tag = 1000;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

bool in_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_digit(char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

class Lexer {
public:
    explicit Lexer(std::string_view source) {
        // Line ends are those of Unix, and the last one is not kept.
        for (std::size_t i = 0; i < source.size(); ++i) {
            const bool line_end = source[i] == '\r';
            if (line_end && i + 1 < source.size() && source[i + 1] == '\n') continue;
            source_ += line_end ? '\n' : source[i];
        }
        if (source_.ends_with('\n')) source_.pop_back();
    }

    std::vector<Token> run() {
        while (at_ < source_.size()) {
            const std::size_t tag = next_tag();
            text(tag);
            if (tag == std::string::npos) break;
            at_ = tag;
            const char kind = source_[at_ + 1];
            if (kind == '#') {
                comment();
            } else if (kind == '%' && raw()) {
                continue;
            } else {
                words(kind == '%');
            }
        }
        add(TokenKind::end, "");
        return std::move(tokens_);
    }

private:
    void add(TokenKind kind, std::string text) {
        tokens_.push_back({kind, std::move(text), line()});
    }
    /// The line of at_, counted on from where it was asked for last.
    int line() {
        for (const std::size_t end = std::min(at_, source_.size()); counted_ < end; ++counted_)
            if (source_[counted_] == '\n') ++line_;
        return line_;
    }
    [[noreturn]] void refuse(const std::string& what) {
        fail(fmt::format("line {}: {}", line(), what));
    }

    std::size_t next_tag() const {
        for (std::size_t i = at_; i + 1 < source_.size(); ++i)
            if (source_[i] == '{' &&
                (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
                return i;
        return std::string::npos;
    }

    /// The text up to a tag, without the blanks that the tag takes.
    void text(std::size_t tag) {
        std::string piece = source_.substr(at_, tag == std::string::npos ? tag : tag - at_);
        if (tag != std::string::npos) {
            const char mark = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
            if (mark == '-') {
                while (!piece.empty() && is_blank(piece.back())) piece.pop_back();
            } else if (source_[tag + 1] != '{' && mark != '+') {
                // lstrip_blocks: blanks go where nothing else stands before the tag on its line.
                const bool from_start = at_ == 0 || source_[at_ - 1] == '\n';
                const std::size_t line = piece.rfind('\n') + 1;
                if ((line > 0 || from_start) &&
                    std::all_of(piece.begin() + static_cast<std::ptrdiff_t>(line), piece.end(),
                                is_blank))
                    piece.resize(line);
            }
        }
        if (!piece.empty()) add(TokenKind::text, std::move(piece));
        at_ = tag;
    }

    /// Behind a tag: the blanks that it takes.
    void skip_behind(bool strip, bool trim) {
        if (strip)
            while (at_ < source_.size() && is_blank(source_[at_])) ++at_;
        else if (trim && at_ < source_.size() && source_[at_] == '\n')
            ++at_;
    }

    void comment() {
        const std::size_t end = source_.find("#}", at_ + 2);
        if (end == std::string::npos) refuse("a comment is not closed");
        const bool strip = source_[end - 1] == '-' && end > at_ + 2;
        at_ = end + 2;
        skip_behind(strip, true);
    }

    /// {% raw %} ... {% endraw %}: text whatever stands there.
    bool raw() {
        const auto tag_named = [&](std::size_t from, std::string_view name, std::size_t& end,
                                   bool& strip_left, bool& strip_right) {
            std::size_t i = from + 2;
            strip_left = i < source_.size() && source_[i] == '-';
            if (strip_left) ++i;
            while (i < source_.size() && is_blank(source_[i])) ++i;
            if (source_.compare(i, name.size(), name) != 0) return false;
            i += name.size();
            while (i < source_.size() && is_blank(source_[i])) ++i;
            strip_right = i < source_.size() && source_[i] == '-';
            if (strip_right) ++i;
            if (source_.compare(i, 2, "%}") != 0) return false;
            end = i + 2;
            return true;
        };
        std::size_t begin = 0;
        bool left = false;
        bool right = false;
        if (!tag_named(at_, "raw", begin, left, right)) return false;
        for (std::size_t i = begin; (i = source_.find("{%", i)) != std::string::npos; ++i) {
            std::size_t end = 0;
            bool inner_left = false;
            bool inner_right = false;
            if (!tag_named(i, "endraw", end, inner_left, inner_right)) continue;
            std::string piece(source_.substr(begin, i - begin));
            if (right)
                piece.erase(piece.begin(), std::find_if_not(piece.begin(), piece.end(), is_blank));
            else if (piece.starts_with('\n'))
                piece.erase(0, 1);
            while (inner_left && !piece.empty() && is_blank(piece.back())) piece.pop_back();
            if (!piece.empty()) add(TokenKind::text, std::move(piece));
            at_ = end;
            skip_behind(inner_right, true);
            return true;
        }
        refuse("raw is not closed");
    }

    /// The words of a tag, from "{%" or "{{" on.
    void words(bool block) {
        add(block ? TokenKind::block_begin : TokenKind::print_begin, "");
        at_ += 2;
        if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
        int depth = 0;  // of brackets: "}}" inside a dict does not end the tag
        for (int count = 0;; ++count) {
            if (count > longest_tag) refuse("a tag has too many words");
            while (at_ < source_.size() && is_blank(source_[at_])) ++at_;
            if (at_ >= source_.size()) refuse("a tag is not closed");
            if (depth == 0 && ends_tag(block)) return;
            word(depth);
        }
    }

    bool ends_tag(bool block) {
        const std::string_view close = block ? "%}" : "}}";
        std::size_t at = at_;
        const char mark = source_[at];
        if (mark == '-' || mark == '+') ++at;
        if (source_.compare(at, 2, close) != 0) return false;
        at_ = at + 2;
        add(block ? TokenKind::block_end : TokenKind::print_end, "");
        skip_behind(mark == '-', block && mark != '+');
        return true;
    }

    void word(int& depth) {
        const char c = source_[at_];
        if (c == '\'' || c == '"') return quoted(c);
        if (is_digit(c)) return number();
        if (in_name(c)) {
            const std::size_t begin = at_;
            while (at_ < source_.size() && in_name(source_[at_])) ++at_;
            return add(TokenKind::name, std::string(source_.substr(begin, at_ - begin)));
        }
        static constexpr std::array<std::string_view, 24> symbols = {
            "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~",
            "<",  ">",  "=",  "(",  ")",  "[",  "]", "{", "}", ",", ":", "|"};
        for (const std::string_view symbol : symbols) {
            if (source_.compare(at_, symbol.size(), symbol) != 0) continue;
            if (c == '(' || c == '[' || c == '{') ++depth;
            if (c == ')' || c == ']' || c == '}') --depth;
            at_ += symbol.size();
            return add(TokenKind::symbol, std::string(symbol));
        }
        if (c == '.') {
            ++at_;
            return add(TokenKind::symbol, ".");
        }
        refuse(fmt::format("\"{}\" is not understood", c));
    }

    void number() {
        const std::size_t begin = at_;
        bool real = false;
        while (at_ < source_.size() && (is_digit(source_[at_]) || source_[at_] == '_')) ++at_;
        if (at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1])) {
            real = true;
            ++at_;
            while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
        }
        if (at_ + 1 < source_.size() && (source_[at_] == 'e' || source_[at_] == 'E')) {
            real = true;
            ++at_;
            if (source_[at_] == '+' || source_[at_] == '-') ++at_;
            while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
        }
        std::string digits(source_.substr(begin, at_ - begin));
        std::erase(digits, '_');
        add(real ? TokenKind::real : TokenKind::integer, std::move(digits));
    }

    void quoted(char quote) {
        std::string out;
        const int begin = line();
        for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
            if (source_[at_] != '\\' || at_ + 1 >= source_.size()) {
                out += source_[at_];
                continue;
            }
            const char c = source_[++at_];
            switch (c) {
                case 'n': out += '\n'; break;
                case 't': out += '\t'; break;
                case 'r': out += '\r'; break;
                case '\\':
                case '\'':
                case '"': out += c; break;
                case '\n': break;
                case 'u': unicode(out); break;
                default: refuse(fmt::format("the escape \\{} is not understood", c));
            }
        }
        if (at_ >= source_.size()) fail(fmt::format("line {}: a text is not closed", begin));
        ++at_;
        add(TokenKind::string, std::move(out));
    }

    /// \uXXXX below the surrogates, as UTF-8.
    void unicode(std::string& out) {
        const std::string digits(source_.substr(at_ + 1, 4));
        char32_t code = 0;
        for (const char d : digits) {
            if (std::isxdigit(static_cast<unsigned char>(d)) == 0)
                refuse("\\u without four digits");
            code = code * 16 + static_cast<char32_t>(is_digit(d) ? d - '0' : (d | 32) - 'a' + 10);
        }
        if (digits.size() != 4 || (code >= 0xd800 && code < 0xe000))
            refuse("the escape \\u" + digits + " is not understood");
        at_ += 4;
        append_utf8(out, code);
    }

    std::string source_;
    std::size_t at_ = 0;
    std::size_t counted_ = 0;  // how far lines are counted
    int line_ = 1;
    std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> cut(std::string_view source) {
    return Lexer(source).run();
}

}  // namespace vq::jinja
