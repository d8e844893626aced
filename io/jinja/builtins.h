// SPDX-License-Identifier: Apache-2.0
// What templates call by name: filters, tests, methods of texts, lists and dicts.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "io/jinja/value.h"

namespace vq::jinja {

/// Applies a filter (or a test) by its name: `map` and `select` get others by name.
using Apply = std::function<Value(const std::string& name, const Value&, const Arguments&)>;

/// value | name(arguments). Throws Error when there is no such filter.
Value filter(const std::string& name, const Value& value, const Arguments& arguments);
/// value is name(arguments). Throws Error when there is no such test.
bool test(const std::string& name, const Value& value, const Arguments& arguments);
/// value.name as a function; Undefined where the value has no such method.
Value method(const Value& value, const std::string& name);

/// An argument by place or name; null when it is not given.
const Value* argument(const Arguments& arguments, std::size_t place, std::string_view name);
/// Throws Error when more are given than `most`, or by names outside `names`.
void check_arguments(const Arguments& arguments, std::size_t most,
                     std::initializer_list<std::string_view> names, std::string_view of);
/// Throws Error naming `of` when the value is none.
const std::string& need_text(const Value& value, std::string_view of);
std::int64_t need_integer(const Value& value, std::string_view of);

/// Python's text without blanks (or without the characters of `set`) at its ends.
std::string strip(std::string_view text, const Value* set, bool left, bool right);

}  // namespace vq::jinja
