// SPDX-License-Identifier: Apache-2.0
#include "io/families/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "io/families/config_reader.h"
#include "io/families/layer_reader.h"
#include "io/families/model_tensors.h"

namespace vq {
namespace {

constexpr const char* text_key = "text_config";
constexpr const char* tie_key = "tie_word_embeddings";

const Family& find_family(const Json& json, const std::string& where,
                          std::span<const Family> table) {
    std::string name = text_of(find_value(json, "model_type"), "model_type", where);
    const Json* classes = find_value(json, "architectures");
    const bool by_class = name.empty() && classes != nullptr && classes->is_array() &&
                          !classes->empty() && classes->front().is_string();
    if (by_class) name = classes->front().get<std::string>();
    if (name.empty()) throw Error("model_type is missing", where, "check config.json");
    for (const Family& family : table)
        if (name == (by_class ? family.hf_class : family.model_type)) return family;
    throw Error("architecture \"" + name.substr(0, 60) + "\" is not supported", where,
                supported_architectures(table));
}

const Wrapper* find_wrapper(const Json& json, const std::string& where) {
    const std::string name = text_of(find_value(json, "model_type"), "model_type", where);
    for (const Wrapper& wrapper : wrappers())
        if (name == wrapper.model_type) return &wrapper;
    return nullptr;
}

/// The configuration of the text model inside a wrapper. What only the wrapper says about it moves
/// in.
Json text_config(const Json& json, const Wrapper& wrapper, const std::string& where) {
    const Json* inside = find_value(json, text_key);
    if (inside == nullptr || !inside->is_object())
        throw Error("text_config is missing", where, "check config.json");
    check_wrapper_keys(json, where);
    Json text = *inside;
    if (find_value(text, "model_type") == nullptr && !wrapper.inner.empty())
        text["model_type"] = wrapper.inner;
    for (const char* key : {"bos_token_id", "eos_token_id"})
        if (!text.contains(key) && json.contains(key)) text[key] = json[key];
    // Either may say so; a head of its own in the file counts more than both.
    if (json.value(tie_key, Json()) == true || (!text.contains(tie_key) && json.contains(tie_key)))
        text[tie_key] = json[tie_key];
    return text;
}

void read_scalars(const ConfigReader& reader, ModelConfig& config) {
    if (reader.family().features.scaled_embedding)
        config.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
    if (reader.find(Setting::embedding_multiplier) != nullptr)
        config.embedding_scale = reader.positive(Setting::embedding_multiplier);
    config.logit_scale = reader.positive_or(Setting::logit_multiplier, 1) /
                         reader.positive_or(Setting::logit_divisor, 1);
    config.logit_softcap = reader.positive_or(Setting::logit_softcap, 0);
}

void read_layer_inputs(const ConfigReader& reader, ModelConfig& config) {
    const std::int64_t width = reader.integer_or(Setting::layer_input_width, 0, 0, 65536);
    config.layer_inputs.width = width;
    if (width == 0) return;
    const std::int64_t words = reader.integer(Setting::layer_input_vocab, 1, 1 << 24);
    if (words != config.vocab_size)
        reader.fail_unsupported(
            reader.name(Setting::layer_input_vocab), words,
            fmt::format("{} (as {})", config.vocab_size, reader.name(Setting::vocab_size)));
    if (width * reader.integer(Setting::layers, 1, 4096) > widest_layer)
        reader.fail(
            fmt::format("{} {} is absurdly wide", reader.name(Setting::layer_input_width), width));
}

std::int64_t stretched_positions(const ConfigReader& reader, std::int64_t positions,
                                 double factor) {
    const double longest = std::floor(static_cast<double>(positions) * std::max(factor, 1.0));
    if (!(longest <= 0x1p40))
        reader.fail(fmt::format("{} positions times {} are absurd", positions, factor));
    return static_cast<std::int64_t>(longest);
}

/// How the file at hand names the tensors of a wrapped model.
Wrapper::Prefixes names_of(const Wrapper& wrapper, const Family& family,
                           const std::function<bool(const std::string&)>& has) {
    if (has)
        for (const Wrapper::Prefixes& prefixes : wrapper.prefixes)
            if (has(embedding_name(family, prefixes.model))) return prefixes;
    return wrapper.prefixes.front();
}

void list_foreign(const ConfigReader& reader, const Wrapper* wrapper, const std::string& prefix,
                  ModelConfig& config) {
    for (const std::string_view start : foreign_tensors())
        if (wrapper != nullptr || start.find("mtp.") != std::string_view::npos)
            config.foreign.emplace_back(start);
    // Blocks behind the last one predict further tokens.
    const std::int64_t more = reader.integer_or(Setting::next_token_layers, 0, 0, 64);
    for (std::int64_t l = config.n_layers(); l < config.n_layers() + more; ++l)
        config.foreign.push_back(fmt::format("{}layers.{}.", prefix, l));
}

}  // namespace

const ModelTensor* LayerConfig::find(TensorRole role) const {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const ModelTensor& t) { return t.role == role; });
    return found == tensors.end() ? nullptr : &*found;
}

const ModelTensor& LayerConfig::tensor(TensorRole role) const {
    const ModelTensor* found = find(role);
    VQ_ASSERT(found != nullptr);
    return *found;
}

ModelConfig parse_hf_config(std::string_view json_text, const std::string& where,
                            std::span<const Family> table,
                            const std::function<bool(const std::string&)>& has) {
    const Json whole = Json::parse(json_text, nullptr, false);
    if (whole.is_discarded() || !whole.is_object())
        throw Error("is not a JSON object", where, "check config.json");
    const Wrapper* wrapper = find_wrapper(whole, where);
    const Json json = wrapper == nullptr ? whole : text_config(whole, *wrapper, where);
    const Family& family = find_family(json, where, table);
    const ConfigReader reader(json, where, family);
    ModelConfig config;
    config.architecture = family.model_type;
    config.vocab_size = reader.integer(Setting::vocab_size, 1, 1 << 24);
    config.hidden_size = reader.integer(Setting::hidden_size, 1, widest_layer);
    config.max_position = reader.integer(Setting::max_position, 1, std::int64_t{1} << 40);
    config.norm = family.features.norm;
    config.norm_eps = reader.positive(Setting::norm_epsilon);
    if (config.norm_eps >= 1) reader.fail(reader.name(Setting::norm_epsilon) + " is not below 1");
    config.tie_embeddings = reader.flag(Setting::tie_embeddings);
    config.bos_ids = reader.ids(Setting::bos_ids, config.vocab_size, config.notes);
    config.eos_ids = reader.ids(Setting::eos_ids, config.vocab_size, config.notes);
    read_scalars(reader, config);
    read_layer_inputs(reader, config);
    read_layers(reader, config);
    // Frequencies that follow the length are meant for longer texts than the model was trained on.
    const RopeConfig& rope = config.ropes.front();
    if (rope.scaling == RopeConfig::Scaling::dynamic)
        config.max_position = stretched_positions(reader, config.max_position, rope.factor);
    Wrapper::Prefixes prefixes = {"model.", ""};
    if (wrapper != nullptr) prefixes = names_of(*wrapper, family, has);
    resolve_tensors(reader, prefixes.model, prefixes.head, config);
    list_foreign(reader, wrapper, prefixes.model, config);
    config.hf_json = std::string(json_text);
    return config;
}

void untie(ModelConfig& config) {
    config.tie_embeddings = false;
    Json json = Json::parse(config.hf_json);
    json[tie_key] = false;
    if (json.contains(text_key)) json[text_key][tie_key] = false;
    config.hf_json = json.dump(2) + "\n";
}

bool is_unused(const ModelConfig& config, std::string_view name) {
    return std::any_of(config.unused.begin(), config.unused.end(), [&](const ModelTensor& t) {
        return name == t.weight() || name == t.bias_name();
    });
}

bool is_foreign(const ModelConfig& config, std::string_view name) {
    return std::any_of(config.foreign.begin(), config.foreign.end(),
                       [&](const std::string& start) { return name.starts_with(start); });
}

}  // namespace vq
