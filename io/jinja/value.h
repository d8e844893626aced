// SPDX-License-Identifier: Apache-2.0
// Values of a Jinja template, with Python's meaning of truth, equality, order and text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace vq::jinja {

class Value;

/// The arguments of a call.
struct Arguments {
    std::vector<Value> positional;
    std::vector<std::pair<std::string, Value>> named;
};

using List = std::vector<Value>;
/// In the order of insertion; keys are text.
using Dict = std::vector<std::pair<std::string, Value>>;
using Function = std::function<Value(const Arguments&)>;

/// A name that nothing was given for. It is false, empty, and prints as nothing, but has no parts.
struct Undefined {
    std::string name;
};
struct None {};

/// Lists and dicts are shared, as in Python: a copy of the value is the same list.
class Value {
public:
    using Data =
        std::variant<Undefined, None, bool, std::int64_t, double, std::string,
                     std::shared_ptr<List>, std::shared_ptr<Dict>, std::shared_ptr<Function>>;

    Value() : data_(Undefined{}) {}
    explicit Value(Data data) : data_(std::move(data)) {}
    static Value undefined(std::string name) { return Value(Data(Undefined{std::move(name)})); }
    static Value none() { return Value(Data(None{})); }
    static Value boolean(bool value) { return Value(Data(value)); }
    static Value integer(std::int64_t value) { return Value(Data(value)); }
    static Value real(double value) { return Value(Data(value)); }
    static Value text(std::string value) { return Value(Data(std::move(value))); }
    /// These throw Error where values are nested more than 100 deep.
    static Value list(List items);
    /// A list that prints as a tuple and equals tuples only.
    static Value tuple(List items);
    static Value dict(Dict items);
    /// A dict whose parts templates may set.
    static Value name_space(Dict items);
    static Value function(Function f) {
        return Value(Data(std::make_shared<Function>(std::move(f))));
    }
    /// Throws Error where the JSON is nested more than 100 deep.
    static Value from_json(const Json& json);

    bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
    bool is_none() const { return std::holds_alternative<None>(data_); }
    const bool* if_boolean() const { return std::get_if<bool>(&data_); }
    const std::int64_t* if_integer() const { return std::get_if<std::int64_t>(&data_); }
    const double* if_real() const { return std::get_if<double>(&data_); }
    const std::string* if_text() const { return std::get_if<std::string>(&data_); }
    /// Null when the value is something else.
    const List* if_list() const { return held<List>(); }
    const Dict* if_dict() const { return held<Dict>(); }
    /// The parts of a namespace, to be changed; null when the value is something else.
    Dict* if_namespace() const { return name_space_ ? held<Dict>() : nullptr; }
    /// A namespace, or a value that holds one. None may be put into a namespace: a value that held
    /// itself would have no end.
    bool holds_namespace() const { return holds_namespace_; }
    const Function* if_function() const { return held<Function>(); }
    bool is_tuple() const { return tuple_; }
    /// True, False, integers and reals as a number; false when it is none.
    bool number(double& out) const;

    bool truth() const;
    /// What {{ }} prints: str() of Python.
    std::string str() const;
    /// repr() of Python, as lists show their items.
    std::string repr() const;
    /// "a list", for messages.
    std::string kind() const;
    const std::string& undefined_name() const { return std::get<Undefined>(data_).name; }

private:
    static Value from_json(const Json& json, int depth);
    template <class T>
    T* held() const {
        const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
        return pointer == nullptr ? nullptr : pointer->get();
    }
    Data data_;
    /// Takes over how deep `part` is nested.
    void nest(const Value& part);

    int depth_ = 0;  ///< of lists and dicts inside
    bool tuple_ = false;
    bool name_space_ = false;
    bool holds_namespace_ = false;
};

bool equal(const Value& a, const Value& b);
/// a < b, of numbers or texts or lists. Throws Error for others, as Python does.
bool less(const Value& a, const Value& b);
/// `item in container`, of lists, dicts (keys) and texts.
bool contains(const Value& container, const Value& item);
/// The items that a loop goes through: of a list, the keys of a dict, the characters of a text,
/// none of Undefined. Throws Error for others.
List items_of(const Value& value);
/// Characters, not bytes. Invalid UTF-8 counts byte by byte.
std::vector<std::string_view> characters(std::string_view text);
/// Null when there is no such key.
const Value* find_key(const Dict& dict, std::string_view key);
/// json.dumps of Python; `indent` below 0: on one line.
std::string to_json_text(const Value& value, int indent, bool ascii);

/// Throws Error "<what>": the template cannot be rendered.
[[noreturn]] void fail(const std::string& what);

}  // namespace vq::jinja
