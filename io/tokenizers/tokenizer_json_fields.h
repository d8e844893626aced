// SPDX-License-Identifier: Apache-2.0
// Checked access to the fields of tokenizer.json. Every function throws Error that names the field
// and what it should be.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/tokenizers/added_tokens.h"

namespace vq {

/// The field; Error when it is missing.
const nlohmann::json& json_field(const nlohmann::json& object, const char* key,
                                 const std::string& where);
/// The field; null when it is missing.
const nlohmann::json& json_field_or_null(const nlohmann::json& object, const char* key);
std::string json_string(const nlohmann::json& object, const char* key, const std::string& where);
/// `fallback` when the field is missing or null.
bool json_bool(const nlohmann::json& object, const char* key, bool fallback,
               const std::string& where);
/// What tokenizer.json and the other files of a folder say of an added token, without its id.
AddedToken json_added_token(const nlohmann::json& object, const std::string& where);
/// An integer in [0, 1000000].
std::size_t json_count(const nlohmann::json& object, const char* key, const std::string& where);

/// A {"String": s} or {"Regex": r} pattern.
struct JsonPattern {
    std::string text;
    bool is_regex = false;
};
JsonPattern json_pattern(const nlohmann::json& object, const char* key, const std::string& where);

/// The steps of `step` in order, "Sequence" steps (whose list is in `list_key`) opened up; null has
/// none. Error when they are nested too deep or a step has no type.
std::vector<const nlohmann::json*> json_steps(const nlohmann::json& step, const char* list_key,
                                              const std::string& where);

}  // namespace vq
