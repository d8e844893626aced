// SPDX-License-Identifier: Apache-2.0
#include "io/jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

namespace vq::jinja {
namespace {

constexpr int deepest = 200;  // brackets in brackets: a template cannot overflow the stack

/// Counts how deep the parser is inside an expression.
class Depth {
public:
    explicit Depth(Words& words) : words_(words) {
        if (words.depth >= deepest) words.refuse("expressions are nested too deeply");
        ++words.depth;
    }
    ~Depth() { --words_.depth; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

private:
    Words& words_;
};

ExpressionPtr make(ExpressionKind kind, const Words& words, std::string name = {}) {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->line = words.peek().line;
    made->name = std::move(name);
    return made;
}

ExpressionPtr constant(const Words& words, Value value) {
    ExpressionPtr made = make(ExpressionKind::constant, words);
    made->value = std::move(value);
    return made;
}

ExpressionPtr binary(const Words& words, std::string name, ExpressionPtr a, ExpressionPtr b) {
    ExpressionPtr made = make(ExpressionKind::binary, words, std::move(name));
    made->parts.push_back(std::move(a));
    made->parts.push_back(std::move(b));
    return made;
}

/// The arguments of a call, behind "(".
void parse_arguments(Words& words, Expression& call) {
    while (!words.take_symbol(")")) {
        if (words.peek().kind == TokenKind::name && words.is_symbol("=", 1)) {
            std::string name = words.next().text;
            words.next();
            call.named.push_back({std::move(name), parse_expression(words)});
        } else {
            if (words.is_symbol("*") || words.is_symbol("**"))
                words.refuse("arguments behind a star are not understood");
            call.parts.push_back(parse_expression(words));
        }
        if (!words.is_symbol(")")) words.expect_symbol(",");
    }
}

/// Behind "[": an item or a slice.
ExpressionPtr parse_subscript(Words& words, ExpressionPtr of) {
    ExpressionPtr made = make(ExpressionKind::item, words);
    made->parts.push_back(std::move(of));
    ExpressionPtr first = words.is_symbol(":") ? nullptr : parse_expression(words);
    if (!words.is_symbol(":")) {
        words.expect_symbol("]");
        made->parts.push_back(std::move(first));
        return made;
    }
    made->kind = ExpressionKind::slice;
    made->parts.push_back(std::move(first));
    for (int i = 0; i < 2; ++i) {
        const bool given = words.take_symbol(":") && !words.is_symbol(":") && !words.is_symbol("]");
        made->parts.push_back(given ? parse_expression(words) : nullptr);
    }
    words.expect_symbol("]");
    return made;
}

ExpressionPtr parse_primary(Words& words) {
    const Depth depth(words);
    const Token& token = words.peek();
    switch (token.kind) {
        case TokenKind::string: {
            std::string text;  // texts that stand side by side are one
            while (words.peek().kind == TokenKind::string) text += words.next().text;
            return constant(words, Value::text(std::move(text)));
        }
        case TokenKind::integer: {
            std::int64_t value = 0;
            const std::string& digits = words.next().text;
            const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
            if (read.ec != std::errc()) words.refuse("the number " + digits + " is too large");
            return constant(words, Value::integer(value));
        }
        case TokenKind::real:
            // Too large a number is infinite, as in Python.
            return constant(words, Value::real(std::strtod(words.next().text.c_str(), nullptr)));
        case TokenKind::name: {
            const std::string& name = words.peek().text;
            if (name == "true" || name == "True" || name == "false" || name == "False")
                return constant(words, Value::boolean((words.next().text[0] | 32) == 't'));
            if (name == "none" || name == "None") {
                words.next();
                return constant(words, Value::none());
            }
            ExpressionPtr made = make(ExpressionKind::name, words);
            made->name = words.expect_name();
            return made;
        }
        default: break;
    }
    if (words.take_symbol("(")) {
        if (words.take_symbol(")")) return make(ExpressionKind::tuple, words);
        ExpressionPtr inner = parse_tuple(words);
        words.expect_symbol(")");
        return inner;
    }
    if (words.take_symbol("[")) {
        ExpressionPtr made = make(ExpressionKind::list, words);
        while (!words.take_symbol("]")) {
            made->parts.push_back(parse_expression(words));
            if (!words.is_symbol("]")) words.expect_symbol(",");
        }
        return made;
    }
    if (words.take_symbol("{")) {
        ExpressionPtr made = make(ExpressionKind::dict, words);
        while (!words.take_symbol("}")) {
            made->parts.push_back(parse_expression(words));
            words.expect_symbol(":");
            made->parts.push_back(parse_expression(words));
            if (!words.is_symbol("}")) words.expect_symbol(",");
        }
        return made;
    }
    words.refuse(fmt::format("\"{}\" stands where a value is wanted", token.text));
}

/// Attributes, items and calls.
ExpressionPtr parse_postfix(Words& words) {
    ExpressionPtr value = parse_primary(words);
    for (;;) {
        if (words.take_symbol(".")) {
            ExpressionPtr made = make(ExpressionKind::attribute, words);
            if (words.peek().kind == TokenKind::integer) {  // messages.0
                made->kind = ExpressionKind::item;
                made->parts.push_back(std::move(value));
                made->parts.push_back(parse_primary(words));
            } else {
                words.expect(TokenKind::name, "a name behind the dot");
                made->name = words.next().text;
                made->parts.push_back(std::move(value));
            }
            value = std::move(made);
        } else if (words.take_symbol("[")) {
            value = parse_subscript(words, std::move(value));
        } else if (words.take_symbol("(")) {
            ExpressionPtr made = make(ExpressionKind::call, words);
            made->parts.push_back(std::move(value));
            parse_arguments(words, *made);
            value = std::move(made);
        } else {
            return value;
        }
    }
}

ExpressionPtr parse_test(Words& words, ExpressionPtr value) {
    while (words.take_name("is")) {
        const bool negated = words.take_name("not");
        ExpressionPtr made = make(ExpressionKind::test, words);
        const Token& name = words.peek();
        if (name.kind != TokenKind::name && !words.is_symbol("=="))
            words.refuse("a test's name is missing behind \"is\"");
        made->name = words.next().text;
        made->parts.push_back(std::move(value));
        if (words.take_symbol("(")) {
            parse_arguments(words, *made);
        } else {
            // An argument may stand without brackets: "is divisibleby 3".
            const Token& next = words.peek();
            static constexpr std::array<std::string_view, 6> keywords = {"and",  "or", "if",
                                                                         "else", "is", "not"};
            const bool word =
                next.kind == TokenKind::name && next.text != "in" &&
                std::find(keywords.begin(), keywords.end(), next.text) == keywords.end();
            if (word || next.kind == TokenKind::string || next.kind == TokenKind::integer ||
                next.kind == TokenKind::real || words.is_symbol("[") || words.is_symbol("{"))
                made->parts.push_back(parse_primary(words));
        }
        value = std::move(made);
        if (negated) {
            ExpressionPtr outer = make(ExpressionKind::negated, words);
            outer->parts.push_back(std::move(value));
            value = std::move(outer);
        }
    }
    return value;
}

/// Filters and tests bind tighter than powers, a sign tighter than filters: -x | abs is (-x) | abs.
ExpressionPtr parse_unary(Words& words, bool filters = true) {
    const Depth depth(words);
    ExpressionPtr value;
    if (words.take_symbol("-")) {
        value = make(ExpressionKind::minus, words);
        value->parts.push_back(parse_unary(words, false));
    } else if (words.take_symbol("+")) {
        value = parse_unary(words, false);
    } else {
        value = parse_postfix(words);
    }
    return filters ? parse_test(words, parse_filters(words, std::move(value))) : std::move(value);
}

ExpressionPtr parse_power(Words& words) {
    ExpressionPtr value = parse_unary(words);
    while (words.take_symbol("**"))
        value = binary(words, "**", std::move(value), parse_unary(words));
    return value;
}

/// Operators of one precedence, from the left.
template <class Next, std::size_t N>
ExpressionPtr parse_left(Words& words, const std::array<std::string_view, N>& operators,
                         Next&& next) {
    ExpressionPtr value = next(words);
    for (;;) {
        const auto found = std::find_if(operators.begin(), operators.end(),
                                        [&](std::string_view op) { return words.is_symbol(op); });
        if (found == operators.end()) return value;
        words.next();
        value = binary(words, std::string(*found), std::move(value), next(words));
    }
}

ExpressionPtr parse_product(Words& words) {
    static constexpr std::array<std::string_view, 4> operators = {"*", "/", "//", "%"};
    return parse_left(words, operators, parse_power);
}

ExpressionPtr parse_concatenation(Words& words) {
    static constexpr std::array<std::string_view, 1> operators = {"~"};
    return parse_left(words, operators, parse_product);
}

ExpressionPtr parse_sum(Words& words) {
    static constexpr std::array<std::string_view, 2> operators = {"+", "-"};
    return parse_left(words, operators, parse_concatenation);
}

ExpressionPtr parse_comparison(Words& words) {
    ExpressionPtr value = parse_sum(words);
    ExpressionPtr made;
    for (;;) {
        std::string name;
        for (const std::string_view op : {"==", "!=", "<", "<=", ">", ">="})
            if (words.is_symbol(op)) name = op;
        if (words.is_name("in")) name = "in";
        if (words.is_name("not") && words.is_name("in", 1)) {
            words.next();
            name = "not in";
        }
        if (name.empty()) return made ? std::move(made) : std::move(value);
        words.next();
        if (!made) {
            made = make(ExpressionKind::comparison, words);
            made->parts.push_back(std::move(value));
        }
        made->names.push_back(std::move(name));
        made->parts.push_back(parse_sum(words));
    }
}

ExpressionPtr parse_not(Words& words) {
    const Depth depth(words);
    if (!words.take_name("not")) return parse_comparison(words);
    ExpressionPtr made = make(ExpressionKind::negated, words);
    made->parts.push_back(parse_not(words));
    return made;
}

ExpressionPtr parse_and(Words& words) {
    ExpressionPtr value = parse_not(words);
    while (words.take_name("and")) value = binary(words, "and", std::move(value), parse_not(words));
    return value;
}

ExpressionPtr parse_or(Words& words) {
    ExpressionPtr value = parse_and(words);
    while (words.take_name("or")) value = binary(words, "or", std::move(value), parse_and(words));
    return value;
}

}  // namespace

bool Words::take_symbol(std::string_view text) {
    if (!is_symbol(text)) return false;
    next();
    return true;
}

bool Words::take_name(std::string_view text) {
    if (!is_name(text)) return false;
    next();
    return true;
}

void Words::expect_symbol(std::string_view text) {
    if (!take_symbol(text))
        refuse(fmt::format("\"{}\" is missing before \"{}\"", text, peek().text));
}

void Words::expect(TokenKind kind, const char* what) {
    if (peek().kind != kind) refuse(fmt::format("{} is missing", what));
}

std::string Words::expect_name() {
    static constexpr std::array<std::string_view, 8> keywords = {"and", "or", "not",  "in",
                                                                 "is",  "if", "else", "recursive"};
    if (peek().kind != TokenKind::name ||
        std::find(keywords.begin(), keywords.end(), peek().text) != keywords.end())
        refuse(fmt::format("\"{}\" stands where a name is wanted", peek().text));
    return next().text;
}

void Words::refuse(const std::string& what) const {
    fail(fmt::format("line {}: {}", peek().line, what));
}

ExpressionPtr parse_filters(Words& words, ExpressionPtr value) {
    while (words.take_symbol("|")) {
        ExpressionPtr made = make(ExpressionKind::filter, words);
        made->name = words.expect_name();
        made->parts.push_back(std::move(value));
        if (words.take_symbol("(")) parse_arguments(words, *made);
        value = std::move(made);
    }
    return value;
}

ExpressionPtr parse_expression(Words& words, bool conditional) {
    const Depth depth(words);
    ExpressionPtr value = parse_or(words);
    while (conditional && words.take_name("if")) {
        ExpressionPtr made = make(ExpressionKind::conditional, words);
        made->parts.push_back(std::move(value));
        made->parts.push_back(parse_or(words));
        made->parts.push_back(words.take_name("else") ? parse_expression(words) : nullptr);
        value = std::move(made);
    }
    return value;
}

ExpressionPtr parse_tuple(Words& words) {
    ExpressionPtr value = parse_expression(words);
    if (!words.is_symbol(",")) return value;
    ExpressionPtr made = make(ExpressionKind::tuple, words);
    made->parts.push_back(std::move(value));
    while (words.take_symbol(",")) {
        const Token& token = words.peek();
        if (token.kind == TokenKind::block_end || token.kind == TokenKind::print_end ||
            words.is_symbol(")"))
            break;
        made->parts.push_back(parse_expression(words));
    }
    return made;
}

}  // namespace vq::jinja
