// SPDX-License-Identifier: Apache-2.0
#include "io/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"

namespace vq::jinja {
namespace {

constexpr int deepest = 100;

/// repr() of a float: the shortest digits that read back, with ".0" where nothing shows the type.
std::string real_text(double x) {
    if (std::isnan(x)) return "nan";
    if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
    const double size = std::abs(x);
    // Python turns to exponents outside 1e-4 .. 1e16, and writes at least two digits of them.
    if (size != 0 && (size < 1e-4 || size >= 1e16)) {
        std::string digits = fmt::format("{:e}", x);
        for (int precision = 0; precision <= 16; ++precision) {
            digits = fmt::format("{:.{}e}", x, precision);
            if (std::stod(digits) == x) break;
        }
        return digits;
    }
    std::string digits = fmt::format("{}", x);
    if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
    return digits;
}

std::string python_quoted(std::string_view text) {
    const bool doubled = text.find('\'') != text.npos && text.find('"') == text.npos;
    const char quote = doubled ? '"' : '\'';
    std::string out(1, quote);
    for (const char c : text) {
        if (c == quote || c == '\\')
            out += {'\\', c};
        else if (c == '\n')
            out += "\\n";
        else if (c == '\r')
            out += "\\r";
        else if (c == '\t')
            out += "\\t";
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    return out + quote;
}

Json json_of(const Value& value) {
    if (value.is_none()) return nullptr;
    if (const bool* b = value.if_boolean()) return *b;
    if (const auto* n = value.if_integer()) return *n;
    if (const double* x = value.if_real()) return *x;
    if (const std::string* s = value.if_text()) return *s;
    if (const List* list = value.if_list()) {
        Json out = Json::array();
        for (const Value& item : *list) out.push_back(json_of(item));
        return out;
    }
    if (const Dict* dict = value.if_dict()) {
        Json out = Json::object();
        for (const auto& [key, item] : *dict) out[key] = json_of(item);
        return out;
    }
    fail(value.kind() + " is not JSON");
}

/// nlohmann writes no blanks on one line; Python writes ", " and ": ".
void write_json(const Json& json, int indent, bool ascii, int depth, std::string& out) {
    const bool object = json.is_object();
    if (!json.is_structured() || json.empty()) {
        out += json.is_number_float() ? real_text(json.get<double>())
                                      : json.dump(-1, ' ', ascii, Json::error_handler_t::replace);
        return;
    }
    const auto line = [&](int level) {
        if (indent >= 0) out += "\n" + std::string(static_cast<std::size_t>(indent * level), ' ');
    };
    out += object ? '{' : '[';
    bool first = true;
    for (auto at = json.begin(); at != json.end(); ++at) {
        if (!first) out += indent >= 0 ? "," : ", ";
        first = false;
        line(depth + 1);
        if (object) {
            write_json(at.key(), indent, ascii, depth, out);
            out += ": ";
        }
        write_json(*at, indent, ascii, depth + 1, out);
    }
    line(depth);
    out += object ? '}' : ']';
}

}  // namespace

void fail(const std::string& what) {
    throw Error(what, "chat template", "use another model, or give the whole prompt yourself");
}

void Value::nest(const Value& part) {
    if (part.depth_ >= deepest) fail("values are nested too deeply");
    depth_ = std::max(depth_, part.depth_ + 1);
    holds_namespace_ = holds_namespace_ || part.holds_namespace_;
}

Value Value::list(List items) {
    Value out;
    for (const Value& item : items) out.nest(item);
    out.data_ = std::make_shared<List>(std::move(items));
    return out;
}

Value Value::tuple(List items) {
    Value out = list(std::move(items));
    out.tuple_ = true;
    return out;
}

Value Value::dict(Dict items) {
    Value out;
    for (const auto& [key, item] : items) out.nest(item);
    out.data_ = std::make_shared<Dict>(std::move(items));
    return out;
}

Value Value::name_space(Dict items) {
    Value out = dict(std::move(items));
    // What is set later is no deeper than a value can be.
    out.depth_ = 0;
    out.name_space_ = out.holds_namespace_ = true;
    return out;
}

Value Value::from_json(const Json& json) {
    return from_json(json, 0);
}

Value Value::from_json(const Json& json, int depth) {
    if (depth > deepest) fail("values are nested too deeply");
    if (json.is_null()) return none();
    if (json.is_boolean()) return boolean(json.get<bool>());
    if (json.is_number_float()) return real(json.get<double>());
    if (json.is_number()) return integer(json.get<std::int64_t>());
    if (json.is_string()) return text(json.get<std::string>());
    if (json.is_array()) {
        List items;
        for (const Json& item : json) items.push_back(from_json(item, depth + 1));
        return list(std::move(items));
    }
    Dict items;
    for (const auto& [key, item] : json.items())
        items.emplace_back(key, from_json(item, depth + 1));
    return dict(std::move(items));
}

bool Value::number(double& out) const {
    if (const bool* b = if_boolean())
        out = *b ? 1 : 0;
    else if (const std::int64_t* n = if_integer())
        out = static_cast<double>(*n);
    else if (const double* x = if_real())
        out = *x;
    else
        return false;
    return true;
}

bool Value::truth() const {
    double x = 0;
    if (number(x)) return x != 0;
    if (const std::string* s = if_text()) return !s->empty();
    if (const List* list = if_list()) return !list->empty();
    if (const Dict* dict = if_dict()) return !dict->empty();
    return if_function() != nullptr;
}

std::string Value::str() const {
    if (is_undefined()) return "";
    if (const std::string* s = if_text()) return *s;
    return repr();
}

std::string Value::repr() const {
    if (is_undefined()) return "Undefined";
    if (is_none()) return "None";
    if (const bool* b = if_boolean()) return *b ? "True" : "False";
    if (const std::int64_t* n = if_integer()) return fmt::to_string(*n);
    if (const double* x = if_real()) return real_text(*x);
    if (const std::string* s = if_text()) return python_quoted(*s);
    std::string out;
    if (const List* list = if_list()) {
        for (const Value& item : *list) out += (out.empty() ? "" : ", ") + item.repr();
        if (tuple_) return "(" + out + (list->size() == 1 ? ",)" : ")");
        return "[" + out + "]";
    }
    if (const Dict* dict = if_dict()) {
        for (const auto& [key, item] : *dict)
            out += (out.empty() ? "" : ", ") + python_quoted(key) + ": " + item.repr();
        return "{" + out + "}";
    }
    fail("a function stands where text is wanted");
}

std::string Value::kind() const {
    static constexpr const char* names[] = {"an undefined value",
                                            "None",
                                            "a truth value",
                                            "an integer",
                                            "a real",
                                            "a text",
                                            "a list",
                                            "a dict",
                                            "a function"};
    return names[data_.index()];
}

bool equal(const Value& a, const Value& b) {
    double x = 0;
    double y = 0;
    if (a.number(x) && b.number(y)) return x == y;
    if (a.if_text() != nullptr && b.if_text() != nullptr) return *a.if_text() == *b.if_text();
    if (a.if_list() != nullptr && b.if_list() != nullptr)
        return a.is_tuple() == b.is_tuple() &&
               std::equal(a.if_list()->begin(), a.if_list()->end(), b.if_list()->begin(),
                          b.if_list()->end(), equal);
    if (a.if_dict() != nullptr && b.if_dict() != nullptr) {
        const Dict& other = *b.if_dict();
        return a.if_dict()->size() == other.size() &&
               std::all_of(a.if_dict()->begin(), a.if_dict()->end(), [&](const auto& entry) {
                   const Value* found = find_key(other, entry.first);
                   return found != nullptr && equal(entry.second, *found);
               });
    }
    return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b) {
    double x = 0;
    double y = 0;
    if (a.number(x) && b.number(y)) return x < y;
    if (a.if_text() != nullptr && b.if_text() != nullptr) return *a.if_text() < *b.if_text();
    if (a.if_list() != nullptr && b.if_list() != nullptr)
        return std::lexicographical_compare(a.if_list()->begin(), a.if_list()->end(),
                                            b.if_list()->begin(), b.if_list()->end(), less);
    fail(a.kind() + " and " + b.kind() + " have no order");
}

bool contains(const Value& container, const Value& item) {
    if (const List* list = container.if_list())
        return std::any_of(list->begin(), list->end(),
                           [&](const Value& other) { return equal(other, item); });
    if (const Dict* dict = container.if_dict())
        return item.if_text() != nullptr && find_key(*dict, *item.if_text()) != nullptr;
    if (container.is_undefined()) return false;
    const std::string* whole = container.if_text();
    if (whole == nullptr || item.if_text() == nullptr)
        fail(item.kind() + " is looked for in " + container.kind());
    return whole->find(*item.if_text()) != std::string::npos;
}

List items_of(const Value& value) {
    if (const List* list = value.if_list()) return *list;
    List items;
    if (const Dict* dict = value.if_dict())
        for (const auto& [key, item] : *dict) items.push_back(Value::text(key));
    else if (const std::string* text = value.if_text())
        for (const std::string_view c : characters(*text))
            items.push_back(Value::text(std::string(c)));
    else if (!value.is_undefined())
        fail(value.kind() + " has no items to go through");
    return items;
}

std::vector<std::string_view> characters(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t i = 0; i < text.size();) {
        const int length = utf8_sequence(text, i);
        const std::size_t bytes = length > 0 ? static_cast<std::size_t>(length) : 1;
        out.push_back(text.substr(i, bytes));
        i += bytes;
    }
    return out;
}

const Value* find_key(const Dict& dict, std::string_view key) {
    const auto found = std::find_if(dict.begin(), dict.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    return found == dict.end() ? nullptr : &found->second;
}

std::string to_json_text(const Value& value, int indent, bool ascii) {
    std::string out;
    write_json(json_of(value), indent, ascii, 0, out);
    return out;
}

}  // namespace vq::jinja
