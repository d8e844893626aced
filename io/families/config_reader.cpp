// SPDX-License-Identifier: Apache-2.0
#include "io/families/config_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace vq {
namespace {

constexpr const char* check_config = "check config.json";

bool in_range(const Json& value, std::int64_t least, std::int64_t most) {
    if (value.is_number_unsigned()) {
        const auto number = value.get<std::uint64_t>();
        return most >= 0 && number <= static_cast<std::uint64_t>(most) &&
               (least <= 0 || number >= static_cast<std::uint64_t>(least));
    }
    const auto number = value.get<std::int64_t>();
    return number >= least && number <= most;
}

bool contains(std::span<const std::string_view> list, std::string_view key) {
    return std::find(list.begin(), list.end(), key) != list.end();
}

void refuse_quantized(const Json& json, const std::string& where, bool mxfp4 = false) {
    const Json* how = find_value(json, "quantization_config");
    if (mxfp4 && how != nullptr && how->is_object() &&
        find_value(*how, "quant_method") != nullptr && *find_value(*how, "quant_method") == "mxfp4")
        return;
    if (how != nullptr)
        throw Error("the checkpoint is quantized already (quantization_config)", where,
                    "start from the original checkpoint");
}

[[noreturn]] void refuse_unknown(const std::string& name, const Json& value,
                                 const std::string& where) {
    throw Error(
        fmt::format("{} is {}, and what that means is not known", name.substr(0, 60), shown(value)),
        where, "if it does not change what the model computes, take it out of config.json");
}

}  // namespace

std::string shown(const Json& value) {
    return value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60);
}

const Json* find_value(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

double positive_number(const Json& value, const std::string& key, const std::string& where) {
    const double number = value.is_number() ? value.get<double>() : 0.0;
    if (!(number > 0) || !std::isfinite(number))
        throw Error(fmt::format("{} is {}, not a positive number", key, shown(value)), where,
                    check_config);
    return number;
}

std::string text_of(const Json* value, const std::string& key, const std::string& where) {
    if (value == nullptr) return {};
    if (!value->is_string())
        throw Error(fmt::format("{} is {}, not a string", key, shown(*value)), where, check_config);
    return value->get<std::string>();
}

void check_wrapper_keys(const Json& json, const std::string& where) {
    // What is about pictures and sound, and what the text model's part says or overrules.
    static constexpr auto known = std::to_array<std::string_view>(
        {"text_config", "vision_config", "audio_config", "tie_word_embeddings", "bos_token_id",
         "eos_token_id", "multimodal_projector_bias", "projector_hidden_act", "spatial_merge_size",
         "vision_feature_layer", "vision_feature_select_strategy", "mm_tokens_per_image",
         "image_seq_length", "vocab_size", "language_model_only"});
    refuse_quantized(json, where);
    for (const auto& [name, value] : json.items()) {
        const bool token = name.ends_with("_token_id") || name.ends_with("_token_index");
        if (value.is_null() || token || contains(known, name) ||
            contains(harmless_config_keys(), name))
            continue;
        refuse_unknown(name, value, where);
    }
}

ConfigReader::ConfigReader(const Json& json, const std::string& where, const Family& family)
    : json_(json), where_(where), family_(family) {
    for (const ConfigKey& key : family.keys)
        if (key.setting != Setting::fixed && key.fallback != nullptr)
            fallbacks_[key.setting] = Json::parse(key.fallback);
    check_keys();
}

void ConfigReader::check_keys() const {
    refuse_quantized(json_, where_, family_.features.mxfp4);
    for (const auto& [name, value] : json_.items()) {
        if (value.is_null() || name == "quantization_config") continue;
        const auto key = std::find_if(family_.keys.begin(), family_.keys.end(),
                                      [&](const ConfigKey& k) { return name == k.hf; });
        if (key == family_.keys.end()) {
            if (contains(family_.ignored_keys, name) || contains(harmless_config_keys(), name))
                continue;
            refuse_unknown(name, value, where_);
        }
        if (key->setting == Setting::fixed && value != Json::parse(key->fallback))
            fail_unsupported(name, value, key->fallback);
    }
}

void ConfigReader::fail(const std::string& what) const {
    throw Error(what, where_, check_config);
}

void ConfigReader::fail_unsupported(const std::string& key, const Json& value,
                                    const std::string& supported) const {
    throw Error(fmt::format("{} is {}, only {} is supported", key, shown(value), supported), where_,
                fmt::format("use a model whose {} is {}", key, supported));
}

const ConfigKey* ConfigReader::key_in_file(Setting setting) const {
    const ConfigKey* found = nullptr;
    for (const ConfigKey& key : family_.keys) {
        if (key.setting != setting || find_value(json_, key.hf) == nullptr) continue;
        if (found != nullptr && json_[key.hf] != json_[found->hf])
            fail(fmt::format("{} is {} but {} is {}", found->hf, shown(json_[found->hf]), key.hf,
                             shown(json_[key.hf])));
        if (found == nullptr) found = &key;
    }
    return found;
}

std::string ConfigReader::name(Setting setting) const {
    const ConfigKey* key = key_in_file(setting);
    if (key == nullptr) key = find_key(family_, setting);
    return key == nullptr ? "" : key->hf;
}

const Json* ConfigReader::find(Setting setting) const {
    if (const ConfigKey* key = key_in_file(setting)) return find_value(json_, key->hf);
    const auto fallback = fallbacks_.find(setting);
    return fallback == fallbacks_.end() ? nullptr : &fallback->second;
}

std::int64_t ConfigReader::integer(Setting setting, std::int64_t least, std::int64_t most) const {
    const Json* value = find(setting);
    if (value == nullptr) fail(name(setting) + " is missing");
    if (!value->is_number_integer() || !in_range(*value, least, most))
        fail(fmt::format("{} is {}, not an integer from {} to {}", name(setting), shown(*value),
                         least, most));
    return value->get<std::int64_t>();
}

std::int64_t ConfigReader::integer_or(Setting setting, std::int64_t fallback, std::int64_t least,
                                      std::int64_t most) const {
    return find(setting) == nullptr ? fallback : integer(setting, least, most);
}

std::int64_t ConfigReader::common_integer(Setting setting, std::int64_t least,
                                          std::int64_t most) const {
    const Json* value = find(setting);
    if (value == nullptr || !value->is_array() || value->empty())
        return integer(setting, least, most);
    for (const Json& entry : *value)
        if (!entry.is_number_integer() || !in_range(entry, least, most) || entry != value->front())
            fail(fmt::format("{} is {}, not the same integer from {} to {} for all layers",
                             name(setting), shown(*value), least, most));
    return value->front().get<std::int64_t>();
}

const Json* ConfigReader::list(Setting setting, std::int64_t size) const {
    const Json* value = find(setting);
    if (value == nullptr) return nullptr;
    if (!value->is_array() || static_cast<std::int64_t>(value->size()) != size)
        fail(fmt::format("{} is {}, not a list of {} layers", name(setting), shown(*value), size));
    return value;
}

bool ConfigReader::says_null(Setting setting) const {
    const auto found = json_.find(name(setting));
    return found != json_.end() && found->is_null();
}

double ConfigReader::positive_or(Setting setting, double fallback) const {
    return find(setting) == nullptr ? fallback : positive(setting);
}

double ConfigReader::positive(Setting setting) const {
    const Json* value = find(setting);
    if (value == nullptr) fail(name(setting) + " is missing");
    return positive_number(*value, name(setting), where_);
}

bool ConfigReader::flag(Setting setting) const {
    const Json* value = find(setting);
    if (value == nullptr) return false;
    if (!value->is_boolean())
        fail(fmt::format("{} is {}, not true or false", name(setting), shown(*value)));
    return value->get<bool>();
}

std::vector<std::int64_t> ConfigReader::ids(Setting setting, std::int64_t vocab_size,
                                            std::vector<std::string>& notes) const {
    const Json* value = find(setting);
    if (value == nullptr || value->is_null() || says_null(setting)) return {};
    const bool in_file = json_.contains(name(setting));
    std::vector<std::int64_t> out;
    const Json list = value->is_array() ? *value : Json::array({*value});
    for (const Json& id : list) {
        if (!id.is_number_integer() || !in_range(id, -1, std::int64_t{1} << 40))
            fail(fmt::format("{} is {}, not a token id", name(setting), shown(id)));
        const auto number = id.get<std::int64_t>();
        if (number >= 0 && number < vocab_size) out.push_back(number);
        if (number >= vocab_size && in_file)
            notes.push_back(fmt::format("{} is {}, and the vocabulary ends at {}: it is left out",
                                        name(setting), number, vocab_size - 1));
    }
    return out;
}

}  // namespace vq
