// SPDX-License-Identifier: Apache-2.0
// Statements: what stands between {% and %}.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "io/jinja/expression_parser.h"
#include "io/jinja/syntax.h"

namespace vq::jinja {
namespace {

constexpr int deepest = 100;

class Parser {
public:
    explicit Parser(std::string_view source) : words_(cut(source)) {}

    Body all() {
        Body out = body({});
        if (words_.peek().kind != TokenKind::end)
            words_.refuse(fmt::format("\"{}\" ends nothing", words_.peek(1).text));
        return out;
    }

private:
    /// Statements up to a tag that begins with one of `ends`, which is left unread.
    Body body(std::initializer_list<std::string_view> ends) {
        if (++depth_ > deepest) words_.refuse("statements are nested too deeply");
        Body out;
        for (;;) {
            const Token& token = words_.peek();
            if (token.kind == TokenKind::end) {
                if (ends.size() > 0) words_.refuse(fmt::format("{} is missing", *(ends.end() - 1)));
                break;
            }
            if (token.kind == TokenKind::text) {
                Statement text = made(StatementKind::text);
                text.name = words_.next().text;
                out.push_back(std::move(text));
            } else if (token.kind == TokenKind::print_begin) {
                Statement print = made(StatementKind::print);
                words_.next();
                print.value = parse_tuple(words_);
                close(TokenKind::print_end);
                out.push_back(std::move(print));
            } else {
                const std::string& name = words_.peek(1).text;
                const bool ended = std::find(ends.begin(), ends.end(), name) != ends.end();
                const bool stray = name.starts_with("end") || name == "else" || name == "elif";
                if (ended || (stray && ends.size() == 0)) break;
                if (stray)
                    words_.refuse(
                        fmt::format("\"{}\" stands where {} is wanted", name, *(ends.end() - 1)));
                words_.next();
                out.push_back(statement());
            }
        }
        --depth_;
        return out;
    }

    Statement made(StatementKind kind) const {
        Statement out;
        out.kind = kind;
        out.line = words_.peek().line;
        return out;
    }

    void close(TokenKind kind) {
        if (words_.peek().kind != kind)
            words_.refuse(fmt::format("\"{}\" is not understood here", words_.peek().text));
        words_.next();
    }

    /// "{% endX %}".
    void end_tag(std::string_view name) {
        words_.next();
        if (!words_.take_name(name)) words_.refuse(fmt::format("{} is missing", name));
        if (name == "endmacro" && words_.peek().kind == TokenKind::name) words_.next();
        close(TokenKind::block_end);
    }

    /// Behind "{%".
    Statement statement() {
        words_.expect(TokenKind::name, "a statement's name");
        const std::string name = words_.peek().text;
        if (name == "if") return condition();
        if (name == "for") return loop();
        if (name == "set") return assignment();
        if (name == "macro") return macro();
        if (name == "filter") return filter_block();
        if (name == "generation") return generation();
        if (name == "break" || name == "continue") {
            if (loops_ == 0) words_.refuse(fmt::format("{} stands outside a loop", name));
            Statement out = made(name == "break" ? StatementKind::leave : StatementKind::proceed);
            words_.next();
            close(TokenKind::block_end);
            return out;
        }
        words_.refuse(fmt::format("the statement \"{}\" is not understood", name));
    }

    Statement condition() {
        Statement out = made(StatementKind::condition);
        while (words_.take_name("if") || words_.take_name("elif")) {
            out.conditions.push_back(parse_tuple(words_));
            close(TokenKind::block_end);
            out.bodies.push_back(body({"elif", "else", "endif"}));
            if (words_.is_name("elif", 1)) words_.next();
        }
        if (words_.is_name("else", 1)) {
            end_tag("else");
            out.bodies.push_back(body({"endif"}));
        }
        end_tag("endif");
        return out;
    }

    Statement loop() {
        Statement out = made(StatementKind::loop);
        words_.next();
        out.targets.push_back(words_.expect_name());
        while (words_.take_symbol(",")) out.targets.push_back(words_.expect_name());
        if (!words_.take_name("in")) words_.refuse("\"in\" is missing");
        out.value = parse_expression(words_, false);
        if (words_.take_name("if")) out.conditions.push_back(parse_expression(words_));
        if (words_.is_name("recursive")) words_.refuse("recursive loops are not understood");
        close(TokenKind::block_end);
        ++loops_;
        out.bodies.push_back(body({"else", "endfor"}));
        --loops_;
        if (words_.is_name("else", 1)) {
            end_tag("else");
            out.bodies.push_back(body({"endfor"}));
        }
        end_tag("endfor");
        return out;
    }

    Statement assignment() {
        Statement out = made(StatementKind::assignment);
        words_.next();
        out.targets.push_back(words_.expect_name());
        if (words_.take_symbol(".")) {
            words_.expect(TokenKind::name, "a name behind the dot");
            out.name = words_.next().text;
        }
        while (out.name.empty() && words_.take_symbol(","))
            out.targets.push_back(words_.expect_name());
        if (words_.take_symbol("=")) {
            out.value = parse_tuple(words_);
            close(TokenKind::block_end);
            return out;
        }
        if (!out.name.empty() || out.targets.size() > 1) words_.refuse("\"=\" is missing");
        out.kind = StatementKind::capture;
        if (words_.is_symbol("|")) out.value = parse_filters(words_, hole());
        close(TokenKind::block_end);
        out.bodies.push_back(body({"endset"}));
        end_tag("endset");
        return out;
    }

    Statement macro() {
        Statement out = made(StatementKind::macro);
        words_.next();
        out.targets.push_back(words_.expect_name());
        words_.expect_symbol("(");
        while (!words_.take_symbol(")")) {
            Parameter parameter{words_.expect_name(), nullptr};
            if (words_.take_symbol("=")) parameter.fallback = parse_expression(words_);
            out.parameters.push_back(std::move(parameter));
            if (!words_.is_symbol(")")) words_.expect_symbol(",");
        }
        close(TokenKind::block_end);
        const int outer = loops_;
        loops_ = 0;
        out.bodies.push_back(body({"endmacro"}));
        loops_ = outer;
        end_tag("endmacro");
        return out;
    }

    /// What a filter block or a filtered set works on: the runtime puts the printed text there.
    ExpressionPtr hole() const {
        auto out = std::make_unique<Expression>();
        out->line = words_.peek().line;
        return out;
    }

    Statement filter_block() {
        Statement out = made(StatementKind::filter_block);
        words_.next();
        // "{% filter upper | trim %}" has no bar before the first filter.
        out.value = std::make_unique<Expression>();
        out.value->kind = ExpressionKind::filter;
        out.value->line = words_.peek().line;
        out.value->name = words_.expect_name();
        out.value->parts.push_back(hole());
        out.value = parse_filters(words_, std::move(out.value));
        close(TokenKind::block_end);
        out.bodies.push_back(body({"endfilter"}));
        end_tag("endfilter");
        return out;
    }

    /// Marks what a model is trained to write; prints its inside.
    Statement generation() {
        Statement out = made(StatementKind::scope);
        words_.next();
        close(TokenKind::block_end);
        out.bodies.push_back(body({"endgeneration"}));
        end_tag("endgeneration");
        return out;
    }

    Words words_;
    int depth_ = 0;
    int loops_ = 0;
};

}  // namespace

Body parse(std::string_view source) {
    return Parser(source).all();
}

}  // namespace vq::jinja
