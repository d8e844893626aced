// SPDX-License-Identifier: Apache-2.0
#include "io/families/config_reader.h"

#include <fmt/format.h>

#include <algorithm>
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

ConfigReader::ConfigReader(const Json& json, const std::string& where, const Family& family)
    : json_(json), where_(where), family_(family) {
    for (const ConfigKey& key : family.keys)
        if (key.setting != Setting::fixed && key.fallback != nullptr)
            fallbacks_[key.setting] = Json::parse(key.fallback);
    check_keys();
}

void ConfigReader::check_keys() const {
    if (find_value(json_, "quantization_config") != nullptr)
        throw Error("the checkpoint is quantized already (quantization_config)", where_,
                    "start from the original checkpoint");
    for (const auto& [name, value] : json_.items()) {
        if (value.is_null()) continue;
        const auto key = std::find_if(family_.keys.begin(), family_.keys.end(),
                                      [&](const ConfigKey& k) { return name == k.hf; });
        if (key == family_.keys.end()) {
            if (contains(family_.ignored_keys, name) || contains(harmless_config_keys(), name))
                continue;
            throw Error(
                fmt::format("{} is {}, and what that means is not known", name.substr(0, 60),
                            shown(value)),
                where_,
                "if it does not change what the model computes, take it out of config.json");
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

std::string ConfigReader::name(Setting setting) const {
    const ConfigKey* key = find_key(family_, setting);
    return key == nullptr ? "" : key->hf;
}

const Json* ConfigReader::find(Setting setting) const {
    const ConfigKey* key = find_key(family_, setting);
    if (key == nullptr) return nullptr;
    if (const Json* value = find_value(json_, key->hf)) return value;
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

std::vector<std::int64_t> ConfigReader::ids(Setting setting, std::int64_t vocab_size) const {
    const Json* value = find(setting);
    const auto in_file = json_.find(name(setting));
    if (value == nullptr || value->is_null() || (in_file != json_.end() && in_file->is_null()))
        return {};
    std::vector<std::int64_t> out;
    const Json list = value->is_array() ? *value : Json::array({*value});
    for (const Json& id : list) {
        if (!id.is_number_integer() ||
            (in_file != json_.end() && !in_range(id, -1, vocab_size - 1)))
            fail(fmt::format("{} is {}, not a token id below {}", name(setting), shown(id),
                             vocab_size));
        if (id.get<std::int64_t>() >= 0) out.push_back(id.get<std::int64_t>());
    }
    return out;
}

}  // namespace vq
