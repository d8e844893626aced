// SPDX-License-Identifier: Apache-2.0
#include "io/jinja/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "io/jinja/builtins.h"

namespace vq::jinja {
namespace {

// A template can neither eat the memory nor run for ever nor overflow the stack.
constexpr std::size_t longest_text = std::size_t{64} << 20;
constexpr std::size_t longest_list = 1'000'000;
constexpr int deepest = 2000;

Arguments evaluate_arguments(const Expression& e, const Scopes& scopes) {
    Arguments out;
    for (std::size_t i = 1; i < e.parts.size(); ++i)
        out.positional.push_back(evaluate(*e.parts[i], scopes));
    for (const NamedArgument& named : e.named)
        out.named.emplace_back(named.name, evaluate(*named.value, scopes));
    return out;
}

[[noreturn]] void fail_undefined(const Value& value, const std::string& part) {
    fail(fmt::format("\"{}\" is not defined, so it has no \"{}\"", value.undefined_name(), part));
}

Value item_of(const Value& of, const Value& at) {
    if (const Dict* dict = of.if_dict()) {
        const Value* found = at.if_text() == nullptr ? nullptr : find_key(*dict, *at.if_text());
        return found == nullptr ? Value::undefined(at.str()) : *found;
    }
    if (of.is_undefined()) fail_undefined(of, at.str());
    if (at.if_integer() == nullptr && at.if_boolean() == nullptr)
        return at.if_text() != nullptr ? method(of, *at.if_text()) : Value::undefined(at.str());
    if (of.if_list() == nullptr && of.if_text() == nullptr) return Value::undefined(at.str());
    const List letters = of.if_list() == nullptr ? items_of(of) : List();
    const List& items = of.if_list() == nullptr ? letters : *of.if_list();
    std::int64_t place = need_integer(at, "an item");
    if (place < 0) place += static_cast<std::int64_t>(items.size());
    if (place < 0 || place >= static_cast<std::int64_t>(items.size()))
        return Value::undefined(at.str());
    return items[static_cast<std::size_t>(place)];
}

Value attribute_of(const Value& of, const std::string& name) {
    if (of.is_undefined()) fail_undefined(of, name);
    // Jinja asks Python's attributes first: a dict's method hides a key of its name.
    const Value own = method(of, name);
    if (!own.is_undefined()) return own;
    if (const Dict* dict = of.if_dict())
        if (const Value* found = find_key(*dict, name)) return *found;
    return own;
}

Value slice_of(const Expression& e, const Scopes& scopes) {
    const Value of = evaluate(*e.parts[0], scopes);
    if (of.if_list() == nullptr && of.if_text() == nullptr) fail("a slice of " + of.kind());
    const List items = items_of(of);
    const auto size = static_cast<std::int64_t>(items.size());
    const auto bound = [&](std::size_t which, std::int64_t fallback) {
        if (e.parts[which] == nullptr) return fallback;
        const Value given = evaluate(*e.parts[which], scopes);
        return given.is_none() ? fallback : need_integer(given, "a slice");
    };
    const std::int64_t step = bound(3, 1);
    if (step == 0) fail("a slice with step 0");
    // Python's rule: ends count from behind where negative, then are cut to what there is.
    const std::int64_t low = step > 0 ? 0 : -1;
    const std::int64_t high = step > 0 ? size : size - 1;
    const auto placed = [&](std::int64_t at) {
        return std::clamp(at < 0 ? at + size : at, low, high);
    };
    const bool from_given = e.parts[1] != nullptr;
    const bool to_given = e.parts[2] != nullptr;
    std::int64_t at =
        from_given ? placed(bound(1, step > 0 ? 0 : size - 1)) : (step > 0 ? 0 : high);
    const std::int64_t end =
        to_given ? placed(bound(2, step > 0 ? size : -1 - size)) : (step > 0 ? size : -1);
    List out;
    for (; step > 0 ? at < end : at > end; at += step)
        out.push_back(items[static_cast<std::size_t>(at)]);
    if (of.is_tuple()) return Value::tuple(std::move(out));
    if (of.if_list() != nullptr) return Value::list(std::move(out));
    std::string text;
    for (const Value& c : out) text += c.str();
    return Value::text(std::move(text));
}

Value add(const Value& a, const Value& b) {
    if (a.if_text() != nullptr && b.if_text() != nullptr) {
        if (a.if_text()->size() + b.if_text()->size() > longest_text) fail("a text grows too long");
        return Value::text(*a.if_text() + *b.if_text());
    }
    if (a.if_list() != nullptr && b.if_list() != nullptr) {
        if (a.is_tuple() != b.is_tuple()) fail("a list and a tuple are added");
        if (a.if_list()->size() + b.if_list()->size() > longest_list) fail("a list grows too long");
        List all = *a.if_list();
        all.insert(all.end(), b.if_list()->begin(), b.if_list()->end());
        return a.is_tuple() ? Value::tuple(std::move(all)) : Value::list(std::move(all));
    }
    fail(fmt::format("{} + {}", a.kind(), b.kind()));
}

Value repeated(const std::string& text, std::int64_t times) {
    std::string out;
    if (text.empty() || times <= 0) return Value::text(std::move(out));
    if (static_cast<std::size_t>(times) > longest_text / text.size()) fail("a text grows too long");
    for (std::int64_t i = 0; i < times; ++i) out += text;
    return Value::text(std::move(out));
}

/// Division rounds down and the remainder has the divisor's sign, as in Python.
Value integers(const std::string& op, std::int64_t a, std::int64_t b) {
    std::int64_t out = 0;
    bool overflow = false;
    if (op == "+") overflow = __builtin_add_overflow(a, b, &out);
    if (op == "-") overflow = __builtin_sub_overflow(a, b, &out);
    if (op == "*") overflow = __builtin_mul_overflow(a, b, &out);
    if (op == "//" || op == "%") {
        if (b == 0) fail("division by zero");
        if (b == -1) return op == "%" ? Value::integer(0) : integers("-", 0, a);
        out = op == "%" ? a % b : a / b;
        const bool apart = a % b != 0 && ((a < 0) != (b < 0));
        if (apart) out += op == "%" ? b : -1;
    }
    if (op == "**") {
        if (b < 0) return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
        // By squares: what is squared once more than it is used may overflow.
        out = 1;
        bool base_overflow = false;
        for (std::int64_t base = a; b > 0 && !overflow; b /= 2) {
            if (b % 2 == 1) overflow = base_overflow || __builtin_mul_overflow(out, base, &out);
            base_overflow = base_overflow || __builtin_mul_overflow(base, base, &base);
        }
    }
    if (overflow) fail(fmt::format("{} {} {} is too large", a, op, b));
    return Value::integer(out);
}

Value arithmetic(const std::string& op, const Value& a, const Value& b) {
    double x = 0;
    double y = 0;
    if (!a.number(x) || !b.number(y)) {
        if (op == "+") return add(a, b);
        if (op == "*" && a.if_text() != nullptr && b.if_integer() != nullptr)
            return repeated(*a.if_text(), *b.if_integer());
        if (op == "*" && b.if_text() != nullptr && a.if_integer() != nullptr)
            return repeated(*b.if_text(), *a.if_integer());
        fail(fmt::format("{} {} {}", a.kind(), op, b.kind()));
    }
    if (op == "/") {
        if (y == 0) fail("division by zero");
        return Value::real(x / y);
    }
    if (a.if_real() == nullptr && b.if_real() == nullptr)
        return integers(op, need_integer(a, op), need_integer(b, op));
    if (op == "+") return Value::real(x + y);
    if (op == "-") return Value::real(x - y);
    if (op == "*") return Value::real(x * y);
    if (op == "**") return Value::real(std::pow(x, y));
    if (y == 0) fail("division by zero");
    if (op == "//") return Value::real(std::floor(x / y));
    const double rest = std::fmod(x, y);
    return Value::real(rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest);
}

bool compare(const std::string& op, const Value& a, const Value& b) {
    if (op == "==") return equal(a, b);
    if (op == "!=") return !equal(a, b);
    if (op == "in") return contains(b, a);
    if (op == "not in") return !contains(b, a);
    if (op == "<") return less(a, b);
    if (op == ">") return less(b, a);
    if (op == "<=") return less(a, b) || equal(a, b);
    return less(b, a) || equal(a, b);
}

Value comparison(const Expression& e, const Scopes& scopes) {
    Value left = evaluate(*e.parts[0], scopes);
    for (std::size_t i = 0; i < e.names.size(); ++i) {
        Value right = evaluate(*e.parts[i + 1], scopes);
        if (!compare(e.names[i], left, right)) return Value::boolean(false);
        left = std::move(right);
    }
    return Value::boolean(true);
}

Value binary(const Expression& e, const Scopes& scopes) {
    Value left = evaluate(*e.parts[0], scopes);
    // `and` and `or` give an operand, and look at the second only where it counts.
    if (e.name == "and") return left.truth() ? evaluate(*e.parts[1], scopes) : left;
    if (e.name == "or") return left.truth() ? left : evaluate(*e.parts[1], scopes);
    const Value right = evaluate(*e.parts[1], scopes);
    if (e.name == "~") return add(Value::text(left.str()), Value::text(right.str()));
    return arithmetic(e.name, left, right);
}

Value call(const Expression& e, const Scopes& scopes) {
    const Value callee = evaluate(*e.parts[0], scopes);
    if (callee.if_function() != nullptr)
        return (*callee.if_function())(evaluate_arguments(e, scopes));
    if (callee.is_undefined())
        fail(fmt::format("the function \"{}\" is not known", callee.undefined_name()));
    fail(callee.kind() + " is called like a function");
}

Value collected(const Expression& e, const Scopes& scopes) {
    if (e.kind != ExpressionKind::dict) {
        List items;
        for (const ExpressionPtr& part : e.parts) items.push_back(evaluate(*part, scopes));
        return e.kind == ExpressionKind::tuple ? Value::tuple(std::move(items))
                                               : Value::list(std::move(items));
    }
    Dict items;
    for (std::size_t i = 0; i + 1 < e.parts.size(); i += 2) {
        const std::string key = need_text(evaluate(*e.parts[i], scopes), "a dict's key");
        Value value = evaluate(*e.parts[i + 1], scopes);
        const auto found = std::find_if(items.begin(), items.end(),
                                        [&](const auto& entry) { return entry.first == key; });
        if (found != items.end())
            found->second = std::move(value);
        else
            items.emplace_back(key, std::move(value));
    }
    return Value::dict(std::move(items));
}

Value evaluate_kind(const Expression& e, const Scopes& scopes) {
    const auto part = [&](std::size_t i) { return evaluate(*e.parts[i], scopes); };
    switch (e.kind) {
        case ExpressionKind::constant: return e.value;
        case ExpressionKind::name: return scopes.find(e.name);
        case ExpressionKind::list:
        case ExpressionKind::tuple:
        case ExpressionKind::dict: return collected(e, scopes);
        case ExpressionKind::attribute: return attribute_of(part(0), e.name);
        case ExpressionKind::item: return item_of(part(0), part(1));
        case ExpressionKind::slice: return slice_of(e, scopes);
        case ExpressionKind::call: return call(e, scopes);
        case ExpressionKind::filter: return filter(e.name, part(0), evaluate_arguments(e, scopes));
        case ExpressionKind::test:
            return Value::boolean(test(e.name, part(0), evaluate_arguments(e, scopes)));
        case ExpressionKind::negated: return Value::boolean(!part(0).truth());
        case ExpressionKind::minus: return arithmetic("-", Value::integer(0), part(0));
        case ExpressionKind::binary: return binary(e, scopes);
        case ExpressionKind::comparison: return comparison(e, scopes);
        case ExpressionKind::conditional:
            if (part(1).truth()) return part(0);
            return e.parts[2] == nullptr ? Value::undefined("else") : part(2);
    }
    return {};
}

}  // namespace

Value Scopes::find(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
        if (const Value* found = find_key(*scope, name)) return *found;
    return Value::undefined(name);
}

void Scopes::set(const std::string& name, Value value) {
    for (auto& [known, held] : scopes_.back()) {
        if (known != name) continue;
        held = std::move(value);
        return;
    }
    scopes_.back().emplace_back(name, std::move(value));
}

std::vector<Dict> Scopes::hide_above(std::size_t depth) {
    const auto first =
        scopes_.begin() + static_cast<std::ptrdiff_t>(std::min(depth, scopes_.size()));
    std::vector<Dict> hidden(std::make_move_iterator(first),
                             std::make_move_iterator(scopes_.end()));
    scopes_.erase(first, scopes_.end());
    return hidden;
}

void Scopes::restore(std::vector<Dict> hidden) {
    for (Dict& scope : hidden) scopes_.push_back(std::move(scope));
}

Scopes::Level::Level(const Scopes& scopes) : scopes_(scopes) {
    if (scopes.level_ >= deepest) fail("the template goes too deeply into itself");
    ++scopes.level_;
}

Value evaluate(const Expression& expression, const Scopes& scopes) {
    const Scopes::Level level(scopes);
    return evaluate_kind(expression, scopes);
}

Value evaluate_filters(const Expression& e, const Scopes& scopes, const Value& text) {
    if (e.kind != ExpressionKind::filter) return text;
    return filter(e.name, evaluate_filters(*e.parts[0], scopes, text),
                  evaluate_arguments(e, scopes));
}

}  // namespace vq::jinja
