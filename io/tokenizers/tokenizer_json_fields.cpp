// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_json_fields.h"

#include <fmt/format.h>

#include "base/error.h"

namespace vq {
namespace {

using nlohmann::json;

constexpr int max_nesting = 16;

[[noreturn]] void reject(const char* key, const char* expected, const std::string& where) {
    throw Error(fmt::format("field \"{}\" is not {}", key, expected), where,
                "download tokenizer.json again");
}

void collect(const json& step, const char* list_key, const std::string& where, int depth,
             std::vector<const json*>& out) {
    if (step.is_null()) return;
    if (depth > max_nesting)
        throw Error("steps are nested too deep", where, "download tokenizer.json again");
    if (json_string(step, "type", where) != "Sequence") {
        out.push_back(&step);
        return;
    }
    const json& list = json_field(step, list_key, where);
    if (!list.is_array()) reject(list_key, "an array", where);
    for (const json& inner : list) collect(inner, list_key, where, depth + 1, out);
}

}  // namespace

const json& json_field(const json& object, const char* key, const std::string& where) {
    if (!object.is_object())
        throw Error(fmt::format("an object with field \"{}\" was expected", key), where,
                    "download tokenizer.json again");
    const auto it = object.find(key);
    if (it == object.end())
        throw Error(fmt::format("field \"{}\" is missing", key), where,
                    "download tokenizer.json again");
    return *it;
}

const json& json_field_or_null(const json& object, const char* key) {
    static const json null;
    const auto it = object.find(key);
    return it == object.end() ? null : *it;
}

std::string json_string(const json& object, const char* key, const std::string& where) {
    const json& value = json_field(object, key, where);
    if (!value.is_string()) reject(key, "a string", where);
    return value.get<std::string>();
}

bool json_bool(const json& object, const char* key, bool fallback, const std::string& where) {
    const auto it = object.find(key);
    if (it == object.end() || it->is_null()) return fallback;
    if (!it->is_boolean()) reject(key, "true or false", where);
    return it->get<bool>();
}

AddedToken json_added_token(const json& entry, const std::string& where) {
    AddedToken token;
    token.content = json_string(entry, "content", where);
    token.special = json_bool(entry, "special", false, where);
    token.normalized = json_bool(entry, "normalized", !token.special, where);
    token.lstrip = json_bool(entry, "lstrip", false, where);
    token.rstrip = json_bool(entry, "rstrip", false, where);
    token.single_word = json_bool(entry, "single_word", false, where);
    return token;
}

std::size_t json_count(const json& object, const char* key, const std::string& where) {
    const json& value = json_field(object, key, where);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 1000000)
        reject(key, "a count", where);
    return value.get<std::size_t>();
}

JsonPattern json_pattern(const json& object, const char* key, const std::string& where) {
    const json& value = json_field(object, key, where);
    if (value.is_string()) return {value.get<std::string>(), false};
    if (value.is_object() && value.size() == 1) {
        if (value.contains("String")) return {json_string(value, "String", where), false};
        if (value.contains("Regex")) return {json_string(value, "Regex", where), true};
    }
    reject(key, "a String or Regex pattern", where);
}

std::vector<const json*> json_steps(const json& step, const char* list_key,
                                    const std::string& where) {
    std::vector<const json*> out;
    collect(step, list_key, where, 0, out);
    return out;
}

}  // namespace vq
