// SPDX-License-Identifier: Apache-2.0
// What an expression comes to, in the names that are in scope.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/jinja/syntax.h"

namespace vq::jinja {

/// Names in scopes: inner ones hide outer ones and are gone when their scope ends.
class Scopes {
public:
    Scopes() : scopes_(1) {}
    Value find(const std::string& name) const;
    /// In the innermost scope, as Jinja's `set` does: a loop's names do not leave it.
    void set(const std::string& name, Value value);
    void enter() { scopes_.emplace_back(); }
    void leave() { scopes_.pop_back(); }
    std::size_t depth() const { return scopes_.size(); }
    /// Counts how deep evaluation and statements are in each other, macros too, while it lives.
    /// Throws Error where that is too deep for the stack.
    class Level {
    public:
        explicit Level(const Scopes& scopes);
        ~Level() { --scopes_.level_; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

    private:
        const Scopes& scopes_;
    };
    /// Takes away all scopes above `depth`: a macro does not see the names of its caller.
    std::vector<Dict> hide_above(std::size_t depth);
    void restore(std::vector<Dict> hidden);

private:
    std::vector<Dict> scopes_;
    mutable int level_ = 0;
};

/// Throws Error where Python would raise, naming the line.
Value evaluate(const Expression& expression, const Scopes& scopes);
/// The filters of `expression` on `text`, which stands where the innermost operand would.
Value evaluate_filters(const Expression& expression, const Scopes& scopes, const Value& text);

}  // namespace vq::jinja
