// SPDX-License-Identifier: Apache-2.0
// The tree of a Jinja template. What a template uses and is not here is refused with its name and
// line: nothing is passed over.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/jinja/value.h"

namespace vq::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct NamedArgument {
    std::string name;
    ExpressionPtr value;
};

enum class ExpressionKind {
    constant,     ///< value
    name,         ///< name
    list,         ///< parts
    tuple,        ///< parts
    dict,         ///< parts: key, value, key, value, ...
    attribute,    ///< parts[0].name
    item,         ///< parts[0][parts[1]]
    slice,        ///< parts[0][parts[1]:parts[2]:parts[3]], null where left out
    call,         ///< parts[0](parts[1], ..., named)
    filter,       ///< parts[0] | name(parts[1], ..., named)
    test,         ///< parts[0] is name(parts[1], ...)
    negated,      ///< not parts[0]
    minus,        ///< -parts[0]
    binary,       ///< parts[0] name parts[1]: + - * / // % ** ~ and or
    comparison,   ///< parts[0] names[0] parts[1] names[1] parts[2] ...: == != < <= > >= in "not in"
    conditional,  ///< parts[0] if parts[1] else parts[2], which may be null
};

struct Expression {
    ExpressionKind kind = ExpressionKind::constant;
    int line = 1;
    std::string name;
    std::vector<std::string> names;
    Value value;
    std::vector<ExpressionPtr> parts;
    std::vector<NamedArgument> named;
};

struct Statement;
using Body = std::vector<Statement>;

enum class StatementKind {
    text,          ///< name
    print,         ///< value
    condition,     ///< bodies[i] where conditions[i] holds, else bodies.back()
    loop,          ///< targets in value, if conditions[0]; bodies[0], else bodies[1]
    assignment,    ///< targets = value, or of namespace: targets[0].name = value
    capture,       ///< targets[0] = what bodies[0] prints
    macro,         ///< targets[0](parameters): bodies[0]
    scope,         ///< bodies[0] as it is ({% generation %})
    filter_block,  ///< what bodies[0] prints, through value (a filter on a hole)
    leave,         ///< break
    proceed,       ///< continue
};

struct Parameter {
    std::string name;
    ExpressionPtr fallback;  ///< null: Undefined
};

struct Statement {
    StatementKind kind = StatementKind::text;
    int line = 1;
    std::string name;
    std::vector<std::string> targets;
    ExpressionPtr value;
    std::vector<ExpressionPtr> conditions;
    std::vector<Parameter> parameters;
    std::vector<Body> bodies;
};

/// Throws Error where the template is not well formed, or uses what is not known here.
Body parse(std::string_view source);

}  // namespace vq::jinja
