// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "io/families/gguf_rope.h"

namespace vq {
namespace {

/// Metadata behind "<architecture>." that is read for every family, beside the keys of its row.
constexpr std::array<std::string_view, 6> read_keys = {
    "rope.scaling.type",    "rope.scaling.factor",    "rope.scale_linear",
    "rope.dimension_count", "attention.value_length", "expert_count"};

/// That changes no result: how the file was made, and what only scalings that are refused use.
constexpr std::array<std::string_view, 4> harmless_keys = {
    "tensor_data_layout", "rope.scaling.finetuned", "rope.scaling.original_context_length",
    "expert_used_count"};

std::string shown(const GgufValue& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value.value))
        return fmt::to_string(*number);
    if (const auto* large = std::get_if<std::uint64_t>(&value.value)) return fmt::to_string(*large);
    if (const auto* real = std::get_if<double>(&value.value)) return fmt::to_string(*real);
    if (const auto* flag = std::get_if<bool>(&value.value)) return *flag ? "true" : "false";
    if (const auto* text = std::get_if<std::string_view>(&value.value))
        return "\"" + std::string(text->substr(0, 60)) + "\"";
    const auto& array = std::get<GgufArray>(value.value);
    return fmt::format("an array of {} {}", array.count, gguf_type_name(array.type));
}

const Family& find_family(const GgufFile& file, std::span<const Family> table) {
    const std::string name = file.require_string("general.architecture");
    for (const Family& family : table)
        if (name == family.gguf_architecture) return family;
    throw Error("architecture \"" + name.substr(0, 60) + "\" is not supported", file.path(),
                supported_architectures(table));
}

class MetadataReader {
public:
    MetadataReader(const GgufFile& file, const Family& family)
        : file_(file), family_(family), prefix_(std::string(family.gguf_architecture) + ".") {
        check_keys();
    }

    const Family& family() const { return family_; }
    std::string key(std::string_view name) const { return prefix_ + std::string(name); }
    std::string key(Setting setting) const {
        const ConfigKey* found = find_key(family_, setting);
        VQ_ASSERT(found != nullptr && found->gguf != nullptr);
        return key(found->gguf);
    }

    /// An integer, or an array that holds one per layer if they are all equal.
    std::optional<std::int64_t> integer(const std::string& key) const {
        const GgufValue* value = file_.find(key);
        if (value == nullptr || value->type != GgufType::array) return file_.get_int(key);
        const auto list = *file_.get_ints(key);
        for (const std::int64_t entry : list)
            if (entry != list.front()) fail(key, "differs from layer to layer");
        return list.empty() ? std::nullopt : std::optional(list.front());
    }
    std::int64_t required(const std::string& key) const {
        if (const auto value = integer(key)) return *value;
        return file_.require_int(key);
    }
    double required_real(const std::string& key) const {
        const auto value = file_.get_float(key);
        if (!value)
            throw Error("key is missing", file_.path() + ": " + key, "convert the model again");
        return *value;
    }

    [[noreturn]] void fail(const std::string& key, const std::string& what) const {
        throw Error(what + ", which is not supported", file_.path() + ": " + key,
                    "start from the checkpoint's safetensors, or use another model");
    }

    const GgufTensor* tensor(TensorRole role, const char* kind) const {
        for (const TensorNames& names : family_.tensors)
            if (names.role == role)
                return file_.find_tensor(fmt::format(fmt::runtime(names.gguf), 0) + kind);
        return nullptr;
    }

private:
    void check_keys() const {
        const auto known = [&](std::string_view name) {
            const auto in = [&](const auto& list) {
                return std::find(list.begin(), list.end(), name) != list.end();
            };
            return in(read_keys) || in(harmless_keys) ||
                   std::any_of(family_.keys.begin(), family_.keys.end(), [&](const ConfigKey& k) {
                       return k.gguf != nullptr && name == k.gguf;
                   });
        };
        for (const auto& [key, value] : file_.values()) {
            if (!key.starts_with(prefix_) || known(std::string_view(key).substr(prefix_.size())))
                continue;
            throw Error(fmt::format("{} is {}, and what that means is not known", key.substr(0, 80),
                                    shown(value)),
                        file_.path(),
                        "start from the checkpoint's safetensors, or use another model");
        }
    }

    const GgufFile& file_;
    const Family& family_;
    std::string prefix_;
};

Json token_ids(const GgufFile& file, std::initializer_list<const char*> keys,
               std::int64_t vocab_size) {
    Json ids = Json::array();
    for (const char* key : keys) {
        const auto id = file.get_int(key);
        if (!id || *id < 0 || *id >= vocab_size) continue;  // 2^32 - 1 stands for none
        if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
    }
    if (ids.empty()) return nullptr;
    return ids.size() == 1 ? ids.front() : ids;
}

/// What metadata says beside config.json's keys must be what the runtime does.
void refuse_unsupported(const MetadataReader& reader, std::int64_t head_dim) {
    if (reader.integer(reader.key("expert_count")).value_or(0) > 0)
        reader.fail(reader.key("expert_count"), "a mixture of experts");
    const std::string value_length = reader.key("attention.value_length");
    if (reader.integer(value_length).value_or(head_dim) != head_dim)
        reader.fail(value_length, "a value length other than the key length");
    const std::string turned = reader.key("rope.dimension_count");
    if (reader.integer(turned).value_or(head_dim) != head_dim)
        reader.fail(turned, "rotation of a part of a head");
}

}  // namespace

ModelConfig gguf_model_config(const GgufFile& file, std::span<const Family> table) {
    const Family& family = find_family(file, table);
    const MetadataReader reader(file, family);

    const std::int64_t hidden = reader.required(reader.key(Setting::hidden_size));
    const std::string heads_key = reader.key(Setting::heads);
    const std::int64_t heads = reader.required(heads_key);
    if (heads < 1) reader.fail(heads_key, fmt::format("a count of {}", heads));
    const std::int64_t head_dim =
        reader.integer(reader.key(Setting::head_dim)).value_or(hidden / heads);
    refuse_unsupported(reader, head_dim);
    const ConfigKey* theta_key = find_key(family, Setting::rope_theta);
    const double theta = file.get_float(reader.key(Setting::rope_theta))
                             .value_or(Json::parse(theta_key->fallback).get<double>());
    const GgufTensor* embedding = reader.tensor(TensorRole::embedding, ".weight");
    const std::int64_t vocab = embedding != nullptr && embedding->extents.size() == 2
                                   ? embedding->extents[1]
                                   : reader.required(reader.key(Setting::vocab_size));

    Json json;
    json["architectures"] = {family.hf_class};
    json["model_type"] = family.model_type;
    for (const ConfigKey& key : family.keys) {
        switch (key.setting) {
            case Setting::activation: json[key.hf] = "silu"; break;
            case Setting::vocab_size: json[key.hf] = vocab; break;
            case Setting::hidden_size: json[key.hf] = hidden; break;
            case Setting::heads: json[key.hf] = heads; break;
            case Setting::kv_heads:
                json[key.hf] = reader.integer(reader.key(key.gguf)).value_or(heads);
                break;
            case Setting::head_dim: json[key.hf] = head_dim; break;
            case Setting::intermediate_size:
            case Setting::layers:
            case Setting::max_position: json[key.hf] = reader.required(reader.key(key.gguf)); break;
            case Setting::norm_epsilon:
                json[key.hf] = reader.required_real(reader.key(key.gguf));
                break;
            case Setting::rope_theta: json[key.hf] = theta; break;
            case Setting::rope_scaling:
                json[key.hf] =
                    gguf_rope_scaling(file, std::string(family.gguf_architecture), theta, head_dim);
                break;
            case Setting::tie_embeddings:
                json[key.hf] = reader.tensor(TensorRole::head, ".weight") == nullptr;
                break;
            case Setting::attention_bias:
                json[key.hf] = reader.tensor(TensorRole::query, ".bias") != nullptr;
                break;
            case Setting::use_window: json[key.hf] = false; break;
            case Setting::bos_ids:
                json[key.hf] = token_ids(file, {"tokenizer.ggml.bos_token_id"}, vocab);
                break;
            case Setting::eos_ids:
                // Chat models end a turn with a token of its own; generation stops at either.
                json[key.hf] = token_ids(
                    file, {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}, vocab);
                break;
            case Setting::rope_parameters:
            case Setting::original_max_position:
            case Setting::layer_types:
            case Setting::fixed: break;  // said by rope_scaling, or what an absent key stands for
        }
    }
    json["pad_token_id"] = token_ids(file, {"tokenizer.ggml.padding_token_id"}, vocab);
    json["torch_dtype"] = "float32";
    return parse_hf_config(json.dump(2) + "\n", file.path(), table);
}

std::map<std::string, GgufTensorName> gguf_tensor_names(const ModelConfig& config) {
    std::map<std::string, GgufTensorName> names;
    const auto add = [&](const ModelTensor& tensor) {
        for (const char* kind : {".weight", ".bias"})
            names[tensor.gguf_name + kind] = {tensor.name + kind, tensor.gguf_pair_heads};
    };
    add(config.embedding);
    for (const LayerConfig& layer : config.layers)
        for (const ModelTensor& tensor : layer.tensors) add(tensor);
    add(config.final_norm);
    add(config.head);
    return names;
}

}  // namespace vq
