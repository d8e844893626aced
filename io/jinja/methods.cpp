// SPDX-License-Identifier: Apache-2.0
// Methods of Python's texts, lists and dicts that templates use. Case is changed for ASCII letters
// only; a text with others is refused where that would differ from Python.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "io/jinja/builtins.h"

namespace vq::jinja {
namespace {

constexpr std::string_view blanks = " \t\n\r\f\v";

using TextMethod = std::function<Value(const std::string&, const Arguments&)>;

void need_ascii(std::string_view text, std::string_view of) {
    if (std::any_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }))
        fail(fmt::format("{} of letters beyond ASCII is not supported", of));
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}

std::string cased(std::string text, std::string_view how) {
    need_ascii(text, how);
    bool start = true;
    for (char& c : text) {
        const bool letter = (lower(c) >= 'a' && lower(c) <= 'z');
        if (how == "upper" || ((how == "title" || how == "capitalize") && start))
            c = upper(c);
        else
            c = lower(c);
        start = how == "title" && !letter;
    }
    return text;
}

Value split(const std::string& text, const Arguments& arguments, bool from_right) {
    check_arguments(arguments, 2, {"sep", "maxsplit"}, "split");
    const Value* by = argument(arguments, 0, "sep");
    const Value* most = argument(arguments, 1, "maxsplit");
    std::int64_t left = most == nullptr ? -1 : need_integer(*most, "split");
    List out;
    std::string_view rest = text;
    if (by == nullptr || by->is_none()) {
        if (from_right && left >= 0) fail("rsplit without a separator is not supported");
        for (;;) {
            const std::size_t begin = rest.find_first_not_of(blanks);
            if (begin == rest.npos) return Value::list(std::move(out));
            rest.remove_prefix(begin);
            const std::size_t end = left == 0 ? rest.npos : rest.find_first_of(blanks);
            if (left == 0) rest = rest.substr(0, rest.find_last_not_of(blanks) + 1);
            out.push_back(Value::text(std::string(rest.substr(0, end))));
            if (end == rest.npos) return Value::list(std::move(out));
            rest.remove_prefix(end);
            --left;
        }
    }
    const std::string& separator = need_text(*by, "split");
    if (separator.empty()) fail("split by an empty text");
    if (from_right) {
        for (; left != 0; --left) {
            const std::size_t at = rest.rfind(separator);
            if (at == rest.npos) break;
            out.push_back(Value::text(std::string(rest.substr(at + separator.size()))));
            rest = rest.substr(0, at);
        }
        out.push_back(Value::text(std::string(rest)));
        std::reverse(out.begin(), out.end());
        return Value::list(std::move(out));
    }
    for (; left != 0; --left) {
        const std::size_t at = rest.find(separator);
        if (at == rest.npos) break;
        out.push_back(Value::text(std::string(rest.substr(0, at))));
        rest.remove_prefix(at + separator.size());
    }
    out.push_back(Value::text(std::string(rest)));
    return Value::list(std::move(out));
}

/// startswith and endswith: with a text, or any of a tuple's.
Value has_end(const std::string& text, const Arguments& arguments, bool start) {
    check_arguments(arguments, 1, {}, start ? "startswith" : "endswith");
    const Value* what = argument(arguments, 0, "");
    if (what == nullptr) fail("startswith without a text");
    const auto holds = [&](const Value& end) {
        const std::string& part = need_text(end, "startswith");
        return start ? text.starts_with(part) : text.ends_with(part);
    };
    if (const List* list = what->if_list())
        return Value::boolean(std::any_of(list->begin(), list->end(), holds));
    return Value::boolean(holds(*what));
}

Value replace(const std::string& text, const Arguments& arguments) {
    check_arguments(arguments, 3, {"count"}, "replace");
    const Value* old = argument(arguments, 0, "old");
    const Value* fresh = argument(arguments, 1, "new");
    const Value* count = argument(arguments, 2, "count");
    if (old == nullptr || fresh == nullptr) fail("replace needs two texts");
    const std::string& from = need_text(*old, "replace");
    const std::string& to = need_text(*fresh, "replace");
    std::int64_t left = count == nullptr ? -1 : need_integer(*count, "replace");
    if (from.empty()) fail("replace of an empty text is not supported");
    std::string out;
    std::size_t at = 0;
    for (; left != 0; --left) {
        const std::size_t found = text.find(from, at);
        if (found == text.npos) break;
        out += text.substr(at, found - at) + to;
        at = found + from.size();
    }
    return Value::text(out + text.substr(at));
}

Value count_of(const std::string& text, const Arguments& arguments) {
    check_arguments(arguments, 1, {}, "count");
    const std::string& part = need_text(*argument(arguments, 0, ""), "count");
    if (part.empty()) fail("count of an empty text");
    std::int64_t n = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
    return Value::integer(n);
}

/// Where a part begins, in characters.
std::int64_t position(const std::string& text, const Arguments& arguments, bool last) {
    check_arguments(arguments, 1, {}, "find");
    const Value* part = argument(arguments, 0, "");
    if (part == nullptr) fail("find without a text");
    const std::string& wanted = need_text(*part, "find");
    const std::size_t at = last ? text.rfind(wanted) : text.find(wanted);
    if (at == text.npos) return -1;
    return static_cast<std::int64_t>(characters(std::string_view(text).substr(0, at)).size());
}

template <bool (*Holds)(char)>
Value all_letters(const std::string& text, const Arguments& arguments) {
    check_arguments(arguments, 0, {}, "isdigit");
    need_ascii(text, "isdigit");
    return Value::boolean(!text.empty() && std::all_of(text.begin(), text.end(), Holds));
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return lower(c) >= 'a' && lower(c) <= 'z';
}
bool is_alnum(char c) {
    return is_digit(c) || is_letter(c);
}
bool is_space(char c) {
    return blanks.find(c) != blanks.npos;
}

Value joined(const std::string& text, const Arguments& arguments) {
    check_arguments(arguments, 1, {}, "join");
    const Value* items = argument(arguments, 0, "");
    if (items == nullptr) fail("join without a list");
    std::string out;
    bool first = true;
    for (const Value& item : items_of(*items)) {
        if (!first) out += text;
        first = false;
        out += need_text(item, "join");
    }
    return Value::text(std::move(out));
}

const std::map<std::string, TextMethod, std::less<>>& text_methods() {
    const auto stripped = [](bool left, bool right) {
        return [left, right](const std::string& text, const Arguments& arguments) {
            check_arguments(arguments, 1, {}, "strip");
            return Value::text(strip(text, argument(arguments, 0, ""), left, right));
        };
    };
    const auto in_case = [](std::string_view how) {
        return [how](const std::string& text, const Arguments& arguments) {
            check_arguments(arguments, 0, {}, how);
            return Value::text(cased(text, how));
        };
    };
    static const std::map<std::string, TextMethod, std::less<>> all = {
        {"strip", stripped(true, true)},
        {"lstrip", stripped(true, false)},
        {"rstrip", stripped(false, true)},
        {"upper", in_case("upper")},
        {"lower", in_case("lower")},
        {"title", in_case("title")},
        {"capitalize", in_case("capitalize")},
        {"split", [](const auto& t, const auto& a) { return split(t, a, false); }},
        {"rsplit", [](const auto& t, const auto& a) { return split(t, a, true); }},
        {"startswith", [](const auto& t, const auto& a) { return has_end(t, a, true); }},
        {"endswith", [](const auto& t, const auto& a) { return has_end(t, a, false); }},
        {"replace", replace},
        {"count", count_of},
        {"find",
         [](const auto& t, const auto& a) { return Value::integer(position(t, a, false)); }},
        {"rfind",
         [](const auto& t, const auto& a) { return Value::integer(position(t, a, true)); }},
        {"isdigit", all_letters<is_digit>},
        {"isalpha", all_letters<is_letter>},
        {"isalnum", all_letters<is_alnum>},
        {"isspace", all_letters<is_space>},
        {"join", joined},
        {"removeprefix",
         [](const std::string& t, const Arguments& a) {
             check_arguments(a, 1, {}, "removeprefix");
             const std::string& part = need_text(*argument(a, 0, ""), "removeprefix");
             return Value::text(t.starts_with(part) ? t.substr(part.size()) : t);
         }},
        {"removesuffix",
         [](const std::string& t, const Arguments& a) {
             check_arguments(a, 1, {}, "removesuffix");
             const std::string& part = need_text(*argument(a, 0, ""), "removesuffix");
             return Value::text(t.ends_with(part) ? t.substr(0, t.size() - part.size()) : t);
         }},
    };
    return all;
}

Value dict_items(const Dict& dict, std::string_view what) {
    List out;
    for (const auto& [key, value] : dict) {
        if (what == "keys")
            out.push_back(Value::text(key));
        else if (what == "values")
            out.push_back(value);
        else
            out.push_back(Value::tuple({Value::text(key), value}));
    }
    return Value::list(std::move(out));
}

}  // namespace

std::string strip(std::string_view text, const Value* set, bool left, bool right) {
    std::string_view which = blanks;
    if (set != nullptr && !set->is_none()) which = need_text(*set, "strip");
    need_ascii(which, "strip");
    std::size_t begin = 0;
    std::size_t end = text.size();
    if (left) begin = std::min(text.find_first_not_of(which), text.size());
    if (right) end = text.find_last_not_of(which) + 1;
    return std::string(begin < end ? text.substr(begin, end - begin) : "");
}

Value method(const Value& value, const std::string& name) {
    if (const std::string* text = value.if_text()) {
        const auto found = text_methods().find(name);
        if (found == text_methods().end()) return Value::undefined(name);
        return Value::function(
            [&call = found->second, text = *text](const Arguments& a) { return call(text, a); });
    }
    if (value.if_dict() != nullptr) {
        if (name == "items" || name == "keys" || name == "values")
            return Value::function([value, name](const Arguments& a) {
                check_arguments(a, 0, {}, name);
                return dict_items(*value.if_dict(), name);
            });
        if (name == "get")
            return Value::function([value](const Arguments& a) {
                check_arguments(a, 2, {}, "get");
                const Value* key = argument(a, 0, "");
                if (key == nullptr) fail("get without a key");
                const Value* found = key->if_text() == nullptr
                                         ? nullptr
                                         : find_key(*value.if_dict(), *key->if_text());
                if (found != nullptr) return *found;
                const Value* fallback = argument(a, 1, "");
                return fallback == nullptr ? Value::none() : *fallback;
            });
    }
    if (value.if_list() != nullptr && name == "index")
        return Value::function([value](const Arguments& a) {
            check_arguments(a, 1, {}, "index");
            const List& list = *value.if_list();
            const auto found = std::find_if(list.begin(), list.end(), [&](const Value& item) {
                return equal(item, *argument(a, 0, ""));
            });
            if (found == list.end()) fail("index of an item that is not in the list");
            return Value::integer(found - list.begin());
        });
    if (value.if_list() != nullptr && name == "count")
        return Value::function([value](const Arguments& a) {
            check_arguments(a, 1, {}, "count");
            return Value::integer(
                std::count_if(value.if_list()->begin(), value.if_list()->end(),
                              [&](const Value& item) { return equal(item, *argument(a, 0, "")); }));
        });
    return Value::undefined(name);
}

}  // namespace vq::jinja
