// SPDX-License-Identifier: Apache-2.0
// Filters and tests of Jinja, as far as chat templates use them.
#include "io/jinja/builtins.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace vq::jinja {
namespace {

using Filter = std::function<Value(const Value&, const Arguments&)>;
using Filters = std::map<std::string, Filter, std::less<>>;
using Tests =
    std::map<std::string, std::function<bool(const Value&, const Arguments&)>, std::less<>>;

/// "a.b" goes from part to part; a number is an item's place.
Value part_of(Value value, std::string_view path) {
    while (!path.empty()) {
        const std::string_view name = path.substr(0, path.find('.'));
        path.remove_prefix(std::min(name.size() + 1, path.size()));
        const Dict* dict = value.if_dict();
        const Value* found = dict == nullptr ? nullptr : find_key(*dict, name);
        value = found == nullptr ? Value::undefined(std::string(name)) : *found;
    }
    return value;
}

Value length(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 0, {}, "length");
    if (const std::string* text = value.if_text())
        return Value::integer(static_cast<std::int64_t>(characters(*text).size()));
    if (const List* list = value.if_list())
        return Value::integer(static_cast<std::int64_t>(list->size()));
    return Value::integer(static_cast<std::int64_t>(items_of(value).size()));
}

Value tojson(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 1, {"ensure_ascii", "indent"}, "tojson");
    const Value* ascii = argument(arguments, 0, "ensure_ascii");
    const Value* indent = argument(arguments, 9, "indent");
    const bool on_lines = indent != nullptr && !indent->is_none();
    return Value::text(
        to_json_text(value, on_lines ? static_cast<int>(need_integer(*indent, "tojson")) : -1,
                     ascii != nullptr && ascii->truth()));
}

Value join(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 2, {"d", "attribute"}, "join");
    const Value* by = argument(arguments, 0, "d");
    const Value* path = argument(arguments, 1, "attribute");
    std::string out;
    bool first = true;
    for (const Value& item : items_of(value)) {
        if (!first && by != nullptr) out += by->str();
        first = false;
        out += path == nullptr ? item.str() : part_of(item, need_text(*path, "join")).str();
    }
    return Value::text(std::move(out));
}

Value fallback(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 2, {"default_value", "boolean"}, "default");
    const Value* other = argument(arguments, 0, "default_value");
    const Value* falsy = argument(arguments, 1, "boolean");
    const bool taken =
        value.is_undefined() || (falsy != nullptr && falsy->truth() && !value.truth());
    if (!taken) return value;
    return other == nullptr ? Value::text("") : *other;
}

Value end_item(const Value& value, bool first) {
    const List made = value.if_list() == nullptr ? items_of(value) : List();
    const List& items = value.if_list() == nullptr ? made : *value.if_list();
    if (items.empty()) return Value::undefined(first ? "first" : "last");
    return first ? items.front() : items.back();
}

/// float() of Python's text; words like "inf" are refused, for JSON has none.
bool parse_real(const std::string& text, double& out) {
    const std::string digits = strip(text, nullptr, true, true);
    if (digits.empty() || digits.find_first_not_of("0123456789+-.eE") != std::string::npos)
        return false;
    char* end = nullptr;
    out = std::strtod(digits.c_str(), &end);
    return *end == 0;
}

/// Truncated. Throws Error where 64 bits do not hold it.
Value integer_of(double x) {
    if (!(std::abs(x) < 0x1p63)) fail(fmt::format("{} is too large an integer", x));
    return Value::integer(static_cast<std::int64_t>(std::trunc(x)));
}

Value to_integer(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 1, {"default"}, "int");
    if (value.if_integer() != nullptr) return value;
    double x = 0;
    if (value.number(x)) return integer_of(x);
    if (const std::string* text = value.if_text()) {
        if (text->find('_') != std::string::npos) fail("int of a text with _ is not understood");
        if (parse_real(*text, x)) return integer_of(x);
    }
    const Value* other = argument(arguments, 0, "default");
    return other == nullptr ? Value::integer(0) : *other;
}

Value to_real(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 1, {"default"}, "float");
    double x = 0;
    if (value.number(x)) return Value::real(x);
    if (const std::string* text = value.if_text())
        if (parse_real(*text, x)) return Value::real(x);
    const Value* other = argument(arguments, 0, "default");
    return other == nullptr ? Value::real(0) : *other;
}

Value indent(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 3, {"width", "first", "blank"}, "indent");
    const Value* width = argument(arguments, 0, "width");
    const Value* first = argument(arguments, 1, "first");
    const Value* blank = argument(arguments, 2, "blank");
    std::string by(4, ' ');
    if (width != nullptr)
        by = width->if_text() != nullptr
                 ? *width->if_text()
                 : std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(
                                   need_integer(*width, "indent"), 0, 256)),
                               ' ');
    std::string out;
    bool line_start = first != nullptr && first->truth();
    for (const char c : need_text(value, "indent")) {
        if (line_start && (c != '\n' || (blank != nullptr && blank->truth()))) out += by;
        line_start = c == '\n';
        out += c;
    }
    return Value::text(std::move(out));
}

Value rounded(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 1, {"precision"}, "round");
    const Value* digits = argument(arguments, 0, "precision");
    if (value.if_integer() != nullptr && digits == nullptr) return value;
    double x = 0;
    if (!value.number(x)) fail("round of " + value.kind());
    const double scale = std::pow(
        10.0, digits == nullptr ? 0.0 : static_cast<double>(need_integer(*digits, "round")));
    return Value::real(std::nearbyint(x * scale) / scale);
}

/// map: a part of each item, or a filter on each.
Value mapped(const Value& value, const Arguments& arguments) {
    List out;
    const Value* path = argument(arguments, 99, "attribute");
    const Value* missing = argument(arguments, 99, "default");
    for (const Value& item : items_of(value)) {
        if (path != nullptr) {
            Value part = part_of(item, need_text(*path, "map"));
            out.push_back(part.is_undefined() && missing != nullptr ? *missing : std::move(part));
            continue;
        }
        if (arguments.positional.empty()) fail("map without a filter's name");
        Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()},
                       arguments.named};
        out.push_back(filter(need_text(arguments.positional.front(), "map"), item, rest));
    }
    return Value::list(std::move(out));
}

/// select, reject, selectattr, rejectattr.
Value selected(const Value& value, const Arguments& arguments, bool by_part, bool keep) {
    const std::size_t name_at = by_part ? 1 : 0;
    if (by_part && arguments.positional.empty()) fail("selectattr without a name");
    List out;
    for (const Value& item : items_of(value)) {
        const Value what =
            by_part ? part_of(item, need_text(arguments.positional.front(), "selectattr")) : item;
        bool holds = what.truth();
        if (arguments.positional.size() > name_at) {
            const Arguments rest{
                {arguments.positional.begin() + static_cast<std::ptrdiff_t>(name_at) + 1,
                 arguments.positional.end()},
                {}};
            holds = test(need_text(arguments.positional[name_at], "select"), what, rest);
        }
        if (holds == keep) out.push_back(item);
    }
    return Value::list(std::move(out));
}

/// How filters compare texts unless they are told otherwise.
Value without_case(const Value& value) {
    return value.if_text() == nullptr ? value : filter("lower", value, {});
}

Value sorted(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 2, {"reverse", "case_sensitive", "attribute"}, "sort");
    const Value* backwards = argument(arguments, 0, "reverse");
    const Value* exact = argument(arguments, 1, "case_sensitive");
    const Value* path = argument(arguments, 9, "attribute");
    const bool as_it_is = exact != nullptr && exact->truth();
    const auto key = [&](const Value& item) {
        Value part = path == nullptr ? item : part_of(item, need_text(*path, "sort"));
        return as_it_is ? part : without_case(part);
    };
    List items = items_of(value);
    const bool down = backwards != nullptr && backwards->truth();
    std::stable_sort(items.begin(), items.end(), [&](const Value& a, const Value& b) {
        return down ? less(key(b), key(a)) : less(key(a), key(b));
    });
    return Value::list(std::move(items));
}

Value unique(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 0, {}, "unique");
    List out;
    List seen;
    for (const Value& item : items_of(value)) {
        const Value key = without_case(item);
        if (std::any_of(seen.begin(), seen.end(),
                        [&](const Value& other) { return equal(other, key); }))
            continue;
        seen.push_back(key);
        out.push_back(item);
    }
    return Value::list(std::move(out));
}

/// Entries of a dict by their keys.
Value dictsort(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 0, {}, "dictsort");
    if (value.if_dict() == nullptr) fail("dictsort of " + value.kind());
    Dict entries = *value.if_dict();
    std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
        return less(without_case(Value::text(a.first)), without_case(Value::text(b.first)));
    });
    return (*method(Value::dict(std::move(entries)), "items").if_function())({});
}

Value reversed(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 0, {}, "reverse");
    List items = items_of(value);
    std::reverse(items.begin(), items.end());
    if (value.if_text() == nullptr) return Value::list(std::move(items));
    std::string out;
    for (const Value& item : items) out += item.str();
    return Value::text(std::move(out));
}

Value sum(const Value& value, const Arguments& arguments) {
    check_arguments(arguments, 0, {}, "sum");
    std::int64_t whole = 0;
    for (const Value& item : items_of(value))
        if (__builtin_add_overflow(whole, need_integer(item, "sum"), &whole))
            fail("a sum is too large an integer");
    return Value::integer(whole);
}

/// A filter that takes nothing but its value.
Filter alone(Value (*f)(const Value&)) {
    return [f](const Value& value, const Arguments& arguments) {
        check_arguments(arguments, 0, {}, "this filter");
        return f(value);
    };
}

/// Every word with a capital: what follows blanks, hyphens and opening brackets begins one.
Value title(const Value& value) {
    std::string text = need_text(filter("lower", value, {}), "title");
    bool start = true;
    for (char& c : text) {
        if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
        start = std::string_view("-({[< \t\n\r\f\v").find(c) != std::string_view::npos;
    }
    return Value::text(std::move(text));
}

/// A filter that is a method of texts.
Filter of_text(std::string name) {
    return [name](const Value& value, const Arguments& arguments) {
        const Value text = value.if_text() != nullptr ? value : Value::text(value.str());
        return (*method(text, name).if_function())(arguments);
    };
}

const Filters& filters() {
    static const Filters all = {
        {"length", length},
        {"count", length},
        {"tojson", tojson},
        {"join", join},
        {"default", fallback},
        {"d", fallback},
        {"first", alone([](const Value& v) { return end_item(v, true); })},
        {"last", alone([](const Value& v) { return end_item(v, false); })},
        {"list", alone([](const Value& v) { return Value::list(items_of(v)); })},
        {"string", alone([](const Value& v) { return Value::text(v.str()); })},
        {"safe", alone([](const Value& v) { return v; })},
        {"int", to_integer},
        {"float", to_real},
        {"abs",
         [](const Value& v, const Arguments&) {
             if (v.if_real() != nullptr) return Value::real(std::abs(*v.if_real()));
             const std::int64_t n = need_integer(v, "abs");
             return Value::integer(n < 0 ? -std::max(n, -std::numeric_limits<std::int64_t>::max())
                                         : n);
         }},
        {"items",
         [](const Value& v, const Arguments&) {
             if (v.is_undefined()) return Value::list({});
             if (v.if_dict() == nullptr) fail("items of " + v.kind());
             return (*method(v, "items").if_function())({});
         }},
        {"dictsort", dictsort},
        {"trim",
         [](const Value& v, const Arguments& a) {
             check_arguments(a, 1, {"chars"}, "trim");
             return Value::text(strip(v.str(), argument(a, 0, "chars"), true, true));
         }},
        {"upper", of_text("upper")},
        {"lower", of_text("lower")},
        {"title", alone(title)},
        {"capitalize", of_text("capitalize")},
        {"replace", of_text("replace")},
        {"indent", indent},
        {"round", rounded},
        {"map", mapped},
        {"select", [](const Value& v, const Arguments& a) { return selected(v, a, false, true); }},
        {"reject", [](const Value& v, const Arguments& a) { return selected(v, a, false, false); }},
        {"selectattr",
         [](const Value& v, const Arguments& a) { return selected(v, a, true, true); }},
        {"rejectattr",
         [](const Value& v, const Arguments& a) { return selected(v, a, true, false); }},
        {"sort", sorted},
        {"unique", unique},
        {"reverse", reversed},
        {"sum", sum},
    };
    return all;
}

const Tests& tests() {
    const auto integer = [](const Value& v) { return v.if_integer() != nullptr; };
    static const Tests all = {
        {"defined", [](const Value& v, const Arguments&) { return !v.is_undefined(); }},
        {"undefined", [](const Value& v, const Arguments&) { return v.is_undefined(); }},
        {"none", [](const Value& v, const Arguments&) { return v.is_none(); }},
        {"string", [](const Value& v, const Arguments&) { return v.if_text() != nullptr; }},
        {"mapping", [](const Value& v, const Arguments&) { return v.if_dict() != nullptr; }},
        {"boolean", [](const Value& v, const Arguments&) { return v.if_boolean() != nullptr; }},
        {"integer", [integer](const Value& v, const Arguments&) { return integer(v); }},
        {"float", [](const Value& v, const Arguments&) { return v.if_real() != nullptr; }},
        {"number",
         [](const Value& v, const Arguments&) {
             double x = 0;
             return v.number(x);
         }},
        {"true",
         [](const Value& v, const Arguments&) { return v.if_boolean() != nullptr && v.truth(); }},
        {"false",
         [](const Value& v, const Arguments&) { return v.if_boolean() != nullptr && !v.truth(); }},
        {"callable", [](const Value& v, const Arguments&) { return v.if_function() != nullptr; }},
        {"iterable",
         [](const Value& v, const Arguments&) {
             return v.if_list() != nullptr || v.if_dict() != nullptr || v.if_text() != nullptr ||
                    v.is_undefined();
         }},
        {"sequence",
         [](const Value& v, const Arguments&) {
             return v.if_list() != nullptr || v.if_dict() != nullptr || v.if_text() != nullptr ||
                    v.is_undefined();
         }},
        {"even", [](const Value& v, const Arguments&) { return need_integer(v, "even") % 2 == 0; }},
        {"odd", [](const Value& v, const Arguments&) { return need_integer(v, "odd") % 2 != 0; }},
        {"divisibleby",
         [](const Value& v, const Arguments& a) {
             const std::int64_t by =
                 a.positional.empty() ? 0 : need_integer(a.positional[0], "divisibleby");
             if (by == 0) fail("divisibleby without a number");
             return need_integer(v, "divisibleby") % by == 0;
         }},
    };
    return all;
}

/// Tests with one argument to compare with, under all their names.
bool compared(const std::string& name, const Value& value, const Arguments& arguments,
              bool& holds) {
    const auto is = [&](std::initializer_list<std::string_view> names) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    const bool known = is({"==", "eq", "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan",
                           "ge", "in", "sameas"});
    if (!known) return false;
    if (arguments.positional.size() != 1) fail("the test " + name + " needs one argument");
    const Value& other = arguments.positional.front();
    if (is({"==", "eq", "equalto"})) holds = equal(value, other);
    // The same object: told apart here for truth values and None alone.
    if (is({"sameas"})) {
        if (other.if_boolean() == nullptr && !other.is_none())
            fail("sameas is understood for true, false and none");
        holds = value.kind() == other.kind() && equal(value, other);
    }
    if (is({"ne"})) holds = !equal(value, other);
    if (is({"lt", "lessthan"})) holds = less(value, other);
    if (is({"le"})) holds = !less(other, value);
    if (is({"gt", "greaterthan"})) holds = less(other, value);
    if (is({"ge"})) holds = !less(value, other);
    if (is({"in"})) holds = contains(other, value);
    return true;
}

}  // namespace

Value filter(const std::string& name, const Value& value, const Arguments& arguments) {
    const auto found = filters().find(name);
    if (found == filters().end()) fail("the filter \"" + name.substr(0, 60) + "\" is not known");
    return found->second(value, arguments);
}

bool test(const std::string& name, const Value& value, const Arguments& arguments) {
    bool holds = false;
    if (compared(name, value, arguments, holds)) return holds;
    const auto found = tests().find(name);
    if (found == tests().end()) fail("the test \"" + name.substr(0, 60) + "\" is not known");
    return found->second(value, arguments);
}

const Value* argument(const Arguments& arguments, std::size_t place, std::string_view name) {
    if (place < arguments.positional.size()) return &arguments.positional[place];
    for (const auto& [given, value] : arguments.named)
        if (given == name) return &value;
    return nullptr;
}

void check_arguments(const Arguments& arguments, std::size_t most,
                     std::initializer_list<std::string_view> names, std::string_view of) {
    if (arguments.positional.size() > most)
        fail(fmt::format("{} is given {} values, at most {} are understood", of,
                         arguments.positional.size(), most));
    for (const auto& [name, value] : arguments.named)
        if (std::find(names.begin(), names.end(), name) == names.end())
            fail(fmt::format("{} is given {}, which is not understood", of, name.substr(0, 60)));
}

const std::string& need_text(const Value& value, std::string_view of) {
    if (value.if_text() == nullptr)
        fail(fmt::format("{} is given {} where text is wanted", of, value.kind()));
    return *value.if_text();
}

std::int64_t need_integer(const Value& value, std::string_view of) {
    if (value.if_integer() == nullptr && value.if_boolean() == nullptr)
        fail(fmt::format("{} is given {} where an integer is wanted", of, value.kind()));
    return value.if_integer() != nullptr ? *value.if_integer() : (value.truth() ? 1 : 0);
}

}  // namespace vq::jinja
