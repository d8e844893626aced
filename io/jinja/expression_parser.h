// SPDX-License-Identifier: Apache-2.0
// Reads the expressions inside tags, by Jinja's precedence.
#pragma once

#include "io/jinja/lexer.h"
#include "io/jinja/syntax.h"

namespace vq::jinja {

/// The words of a template and how far they are read.
class Words {
public:
    explicit Words(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
    const Token& peek(std::size_t ahead = 0) const {
        return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
    }
    const Token& next() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }
    bool is_symbol(std::string_view text, std::size_t ahead = 0) const {
        return peek(ahead).kind == TokenKind::symbol && peek(ahead).text == text;
    }
    bool is_name(std::string_view text, std::size_t ahead = 0) const {
        return peek(ahead).kind == TokenKind::name && peek(ahead).text == text;
    }
    bool take_symbol(std::string_view text);
    bool take_name(std::string_view text);
    void expect_symbol(std::string_view text);
    void expect(TokenKind kind, const char* what);
    /// A name that is no keyword of expressions.
    std::string expect_name();
    [[noreturn]] void refuse(const std::string& what) const;

    /// How deep the parser is inside an expression.
    int depth = 0;

private:
    std::vector<Token> tokens_;
    std::size_t at_ = 0;
};

/// With commas on the outside, a list (a tuple).
ExpressionPtr parse_tuple(Words& words);
/// Without commas; `conditional`: "a if b else c" is part of it (not so behind `for x in`).
ExpressionPtr parse_expression(Words& words, bool conditional = true);
/// The filters behind an expression: "| trim | upper".
ExpressionPtr parse_filters(Words& words, ExpressionPtr value);

}  // namespace vq::jinja
