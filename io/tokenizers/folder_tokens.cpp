// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/folder_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "io/tokenizers/tokenizer_json_fields.h"

namespace vq {
namespace {

using nlohmann::json;

constexpr const char* config_name = "tokenizer_config.json";

[[noreturn]] void malformed(const std::string& what, const std::string& where, const char* file) {
    throw Error(what, where + ": " + file, fmt::format("download {} again", file));
}

TokenId checked_id(std::int64_t id, const std::string& name, const std::string& where,
                   const char* file) {
    if (id < 0 || id > std::numeric_limits<TokenId>::max())
        malformed(fmt::format("\"{}\" has {}, which is no token id", name, id), where, file);
    return static_cast<TokenId>(id);
}

/// {"32000": {"content": "<pad>", ...}, ...}
std::vector<AddedToken> tokens_by_id(const json& entries, const std::string& where) {
    if (!entries.is_object())
        malformed("added_tokens_decoder is not an object", where, config_name);
    std::vector<AddedToken> out;
    for (const auto& [key, entry] : entries.items()) {
        std::int64_t id = -1;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size())
            malformed(fmt::format("\"{}\" in added_tokens_decoder is not a token id", key), where,
                      config_name);
        out.push_back(json_added_token(entry, where));
        out.back().id = checked_id(id, key, where, config_name);
    }
    return out;
}

/// A name alone, or an object that describes the token; nothing for null and false.
void add_special(const json& value, const std::string& where, std::vector<AddedToken>& out) {
    if (!value.is_string() && !value.is_object()) return;
    AddedToken token;
    if (value.is_string())
        token.content = value.get<std::string>();
    else
        token = json_added_token(value, where);
    token.special = true;
    if (value.is_string() || !value.contains("normalized")) token.normalized = false;
    const auto same = [&](const AddedToken& other) { return other.content == token.content; };
    if (!token.content.empty() && std::ranges::none_of(out, same)) out.push_back(std::move(token));
}

/// "bos_token", ..., "image_token": any key that ends so names a token; two keys hold lists.
void add_specials(const json& object, const std::string& where, std::vector<AddedToken>& out) {
    for (const auto& [key, value] : object.items()) {
        if (key.ends_with("_token")) add_special(value, where, out);
        if (key != "additional_special_tokens" && key != "extra_special_tokens") continue;
        if (value.is_array() || value.is_object())
            for (const auto& [ignored, item] : value.items()) add_special(item, where, out);
    }
}

}  // namespace

json folder_json(const TokenizerFiles& files, const char* name, const std::string& where) {
    const auto file = files.find(name);
    if (file == files.end() || file->second.empty()) return nullptr;
    json parsed;
    try {
        parsed = json::parse(file->second);
    } catch (const json::exception& e) {
        malformed(fmt::format("not valid JSON ({})", e.what()), where, name);
    }
    if (!parsed.is_object()) malformed("not a JSON object", where, name);
    return parsed;
}

FolderTokens folder_tokens(const TokenizerFiles& files, const std::string& where) {
    FolderTokens tokens;
    const json config = folder_json(files, config_name, where);
    const json by_id =
        config.is_null() ? json() : json_field_or_null(config, "added_tokens_decoder");
    if (!config.is_null()) add_specials(config, where + ": " + config_name, tokens.special);
    if (!by_id.is_null()) {
        tokens.added = tokens_by_id(by_id, where + ": " + config_name);
    } else {
        constexpr const char* map_name = "special_tokens_map.json";
        constexpr const char* added_name = "added_tokens.json";
        if (const json map = folder_json(files, map_name, where); !map.is_null())
            add_specials(map, where + ": " + map_name, tokens.special);
        const json added = folder_json(files, added_name, where);
        for (const auto& [name, id] : added.items()) {
            if (!id.is_number_integer())
                malformed(fmt::format("\"{}\" has no token id", name), where, added_name);
            AddedToken token;
            token.content = name;
            token.id = checked_id(id.get<std::int64_t>(), name, where, added_name);
            token.special = std::ranges::any_of(
                tokens.special, [&](const AddedToken& t) { return t.content == name; });
            token.normalized = !token.special;
            tokens.added.push_back(std::move(token));
        }
    }
    std::ranges::stable_sort(tokens.added, {}, &AddedToken::id);
    return tokens;
}

}  // namespace vq
