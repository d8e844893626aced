// SPDX-License-Identifier: Apache-2.0
#include "io/families/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "io/families/config_reader.h"
#include "io/families/rope_config.h"
#include "io/families/tensor_shape.h"

namespace vq {
namespace {

constexpr std::int64_t widest = 1 << 22;

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

/// Settings that would change the result and that the runtime does not know.
void refuse_unsupported(const ConfigReader& reader, std::int64_t n_layers) {
    const std::string activation = reader.name(Setting::activation);
    const std::string act = text_of(reader.find(Setting::activation), activation, reader.where());
    if (act != "silu" && act != "swish") reader.fail_unsupported(activation, act, "silu");
    if (reader.flag(Setting::use_window))
        reader.fail_unsupported(reader.name(Setting::use_window), true, "false");
    const Json* types = reader.find(Setting::layer_types);
    if (types == nullptr) return;
    const std::string name = reader.name(Setting::layer_types);
    if (!types->is_array() || static_cast<std::int64_t>(types->size()) != n_layers)
        reader.fail(
            fmt::format("{} is {}, not a list of {} layers", name, shown(*types), n_layers));
    for (const Json& type : *types)
        if (type != "full_attention") reader.fail_unsupported(name, type, "full_attention");
}

AttentionConfig read_attention(const ConfigReader& reader, std::int64_t hidden_size) {
    AttentionConfig heads;
    heads.n_heads = reader.integer(Setting::heads, 1, 65536);
    heads.n_kv_heads = reader.integer_or(Setting::kv_heads, heads.n_heads, 1, 65536);
    if (heads.n_heads % heads.n_kv_heads != 0)
        reader.fail(fmt::format("{} {} is not a multiple of {} {}", reader.name(Setting::heads),
                                heads.n_heads, reader.name(Setting::kv_heads), heads.n_kv_heads));
    const bool whole = hidden_size % heads.n_heads == 0;
    heads.head_dim =
        whole ? reader.integer_or(Setting::head_dim, hidden_size / heads.n_heads, 1, 65536)
              : reader.integer(Setting::head_dim, 1, 65536);
    if (heads.head_dim % 2 != 0)
        reader.fail(fmt::format("head_dim {} is odd, rotary positions need pairs", heads.head_dim));
    if (heads.n_heads * heads.head_dim > widest)
        reader.fail(fmt::format("{} heads of {} are absurdly wide", heads.n_heads, heads.head_dim));
    heads.scale = 1.0 / std::sqrt(static_cast<double>(heads.head_dim));
    return heads;
}

LayerConfig read_layer(const ConfigReader& reader, std::int64_t hidden_size) {
    LayerConfig layer;
    layer.mlp.width = reader.integer(Setting::intermediate_size, 1, widest);
    layer.attention = read_attention(reader, hidden_size);
    return layer;
}

/// "{}" in a row's name becomes the number of the block.
std::string numbered(std::string_view name, std::int64_t layer) {
    return fmt::format(fmt::runtime(name), layer);
}

ModelTensor resolve(const Family& family, const TensorNames& names, const ModelConfig& config,
                    std::int64_t layer, bool attention_bias) {
    ModelTensor tensor;
    tensor.role = names.role;
    tensor.name = numbered(names.hf, layer);
    tensor.gguf_name = numbered(names.gguf, layer);
    tensor.bias =
        names.bias == Bias::always || (names.bias == Bias::if_configured && attention_bias);
    const LayerConfig& block = config.layers[static_cast<std::size_t>(layer)];
    set_shape(config, block, tensor);
    if (family.gguf_interleaved_pairs && names.role == TensorRole::query)
        tensor.gguf_pair_heads = block.attention.n_heads;
    if (family.gguf_interleaved_pairs && names.role == TensorRole::key)
        tensor.gguf_pair_heads = block.attention.n_kv_heads;
    return tensor;
}

void resolve_tensors(const Family& family, bool attention_bias, ModelConfig& config) {
    for (const TensorNames& names : family.tensors) {
        const bool in_block = std::string_view(names.hf).find("{}") != std::string_view::npos;
        if (in_block) {
            for (std::int64_t l = 0; l < config.n_layers(); ++l)
                config.layers[static_cast<std::size_t>(l)].tensors.push_back(
                    resolve(family, names, config, l, attention_bias));
            continue;
        }
        ModelTensor tensor = resolve(family, names, config, 0, attention_bias);
        if (names.role == TensorRole::embedding) config.embedding = std::move(tensor);
        if (names.role == TensorRole::final_norm) config.final_norm = std::move(tensor);
        if (names.role == TensorRole::head) config.head = std::move(tensor);
    }
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
                            std::span<const Family> table) {
    const Json json = Json::parse(json_text, nullptr, false);
    if (json.is_discarded() || !json.is_object())
        throw Error("is not a JSON object", where, "check config.json");
    const Family& family = find_family(json, where, table);
    const ConfigReader reader(json, where, family);
    ModelConfig config;
    config.architecture = family.model_type;
    const std::int64_t n_layers = reader.integer(Setting::layers, 1, 4096);
    refuse_unsupported(reader, n_layers);
    config.vocab_size = reader.integer(Setting::vocab_size, 1, 1 << 24);
    config.hidden_size = reader.integer(Setting::hidden_size, 1, widest);
    config.max_position = reader.integer(Setting::max_position, 1, std::int64_t{1} << 40);
    config.norm_eps = reader.positive(Setting::norm_epsilon);
    if (config.norm_eps >= 1) reader.fail(reader.name(Setting::norm_epsilon) + " is not below 1");
    config.tie_embeddings = reader.flag(Setting::tie_embeddings);
    config.bos_ids = reader.ids(Setting::bos_ids, config.vocab_size);
    config.eos_ids = reader.ids(Setting::eos_ids, config.vocab_size);
    config.layers.assign(static_cast<std::size_t>(n_layers),
                         read_layer(reader, config.hidden_size));
    config.ropes.push_back(read_rope(reader, config.layers.front().attention.head_dim));
    resolve_tensors(family, reader.flag(Setting::attention_bias), config);
    config.hf_json = std::string(json_text);
    return config;
}

}  // namespace vq
