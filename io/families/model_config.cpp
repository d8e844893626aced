// SPDX-License-Identifier: Apache-2.0
#include "io/families/model_config.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace vq {
namespace {

constexpr const char* check_config = "check config.json";

class ConfigReader {
public:
    ConfigReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

    [[noreturn]] void fail(const std::string& what, const char* todo = check_config) const {
        throw Error(what, where_, todo);
    }

    /// The value of a key; nullptr when it is absent or null, which config.json uses alike.
    static const Json* find(const Json& object, const char* key) {
        const auto found = object.find(key);
        return found == object.end() || found->is_null() ? nullptr : &*found;
    }
    const Json* find(const char* key) const { return find(json_, key); }
    bool present(const char* key) const { return json_.contains(key); }

    std::int64_t integer(const char* key, std::int64_t fallback, std::int64_t least,
                         std::int64_t most) const {
        const Json* value = find(key);
        if (value == nullptr && fallback < 0) fail(fmt::format("{} is missing", key));
        if (value == nullptr) return fallback;
        if (!value->is_number_integer() || !in_range(*value, least, most))
            fail(fmt::format("{} is {}, not an integer from {} to {}", key, shown(*value), least,
                             most));
        return value->get<std::int64_t>();
    }
    double positive(const Json& object, const char* key, double fallback) const {
        const Json* value = find(object, key);
        if (value == nullptr && fallback <= 0) fail(fmt::format("{} is missing", key));
        if (value == nullptr) return fallback;
        const double number = value->is_number() ? value->get<double>() : 0.0;
        if (!(number > 0) || !std::isfinite(number))
            fail(fmt::format("{} is {}, not a positive number", key, shown(*value)));
        return number;
    }
    bool flag(const char* key, bool fallback) const {
        const Json* value = find(key);
        if (value == nullptr) return fallback;
        if (!value->is_boolean())
            fail(fmt::format("{} is {}, not true or false", key, shown(*value)));
        return value->get<bool>();
    }
    std::string text(const Json& object, const char* key) const {
        const Json* value = find(object, key);
        if (value == nullptr) return {};
        if (!value->is_string()) fail(fmt::format("{} is {}, not a string", key, shown(*value)));
        return value->get<std::string>();
    }
    /// An id, a list of ids, or none.
    std::vector<std::int64_t> ids(const char* key, std::vector<std::int64_t> fallback,
                                  std::int64_t vocab_size) const {
        if (!present(key)) return fallback;
        const Json* value = find(key);
        if (value == nullptr) return {};
        std::vector<std::int64_t> out;
        const Json list = value->is_array() ? *value : Json::array({*value});
        for (const Json& id : list) {
            if (!id.is_number_integer() || !in_range(id, -1, vocab_size - 1))
                fail(fmt::format("{} is {}, not a token id below {}", key, shown(id), vocab_size));
            if (id.get<std::int64_t>() >= 0) out.push_back(id.get<std::int64_t>());
        }
        return out;
    }

    /// A value as it stands in the file, cut so that it cannot flood a message.
    static std::string shown(const Json& value) {
        return value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60);
    }

private:
    static bool in_range(const Json& value, std::int64_t least, std::int64_t most) {
        if (value.is_number_unsigned()) {
            const auto number = value.get<std::uint64_t>();
            return most >= 0 && number <= static_cast<std::uint64_t>(most) &&
                   (least <= 0 || number >= static_cast<std::uint64_t>(least));
        }
        const auto number = value.get<std::int64_t>();
        return number >= least && number <= most;
    }

    const Json& json_;
    std::string where_;
};

std::string find_architecture(const ConfigReader& reader, const Json& json) {
    std::string name = reader.text(json, "model_type");
    const Json* classes = reader.find("architectures");
    if (name.empty() && classes != nullptr && classes->is_array() && !classes->empty() &&
        classes->front().is_string()) {
        name = classes->front().get<std::string>();
        if (name == "LlamaForCausalLM") name = "llama";
        if (name == "Qwen2ForCausalLM") name = "qwen2";
    }
    if (name.empty()) reader.fail("model_type is missing");
    if (name != "llama" && name != "qwen2")
        reader.fail("architecture \"" + name.substr(0, 60) + "\" is not supported",
                    "use a model of the architecture llama or qwen2");
    return name;
}

/// Rotary settings: top-level rope_theta and rope_scaling, or rope_parameters with both.
void read_rope(const ConfigReader& reader, const Json& json, ModelConfig& config) {
    config.rope_theta = reader.positive(json, "rope_theta", 10000.0);
    const Json* scaling = nullptr;
    for (const char* key : {"rope_scaling", "rope_parameters"}) {
        const Json* found = reader.find(key);
        if (found == nullptr) continue;
        if (!found->is_object()) reader.fail(std::string(key) + " is not an object");
        if (scaling == nullptr || found->contains("rope_type")) scaling = found;
        config.rope_theta = reader.positive(*found, "rope_theta", config.rope_theta);
        const double share = reader.positive(*found, "partial_rotary_factor", 1.0);
        if (share != 1.0)
            reader.fail("partial_rotary_factor is not supported", "use another model");
    }
    if (reader.positive(json, "partial_rotary_factor", 1.0) != 1.0)
        reader.fail("partial_rotary_factor is not supported", "use another model");
    if (scaling == nullptr) return;
    std::string type = reader.text(*scaling, "rope_type");
    if (type.empty()) type = reader.text(*scaling, "type");
    if (type.empty()) {
        for (const auto& [key, value] : scaling->items())
            if (value.is_object() || key == "factor")
                reader.fail("rope scaling has no rope_type that is understood");
        return;
    }
    if (type == "default") return;
    RopeScaling& rope = config.rope_scaling;
    if (type != "linear" && type != "llama3")
        reader.fail("rope type \"" + type.substr(0, 60) + "\" is not supported",
                    "use a model with plain, linear or llama3 rotary positions");
    rope.factor = reader.positive(*scaling, "factor", 0);
    rope.type = RopeScaling::Type::linear;
    if (type == "linear") return;
    rope.type = RopeScaling::Type::llama3;
    rope.low_freq_factor = reader.positive(*scaling, "low_freq_factor", 0);
    rope.high_freq_factor = reader.positive(*scaling, "high_freq_factor", 0);
    const double original = reader.positive(*scaling, "original_max_position_embeddings", 0);
    if (rope.high_freq_factor <= rope.low_freq_factor)
        reader.fail("high_freq_factor is not above low_freq_factor");
    if (original > 1e12 || original != std::floor(original))
        reader.fail("original_max_position_embeddings is not a number of positions");
    rope.original_max_position = static_cast<std::int64_t>(original);
}

/// Settings that would change the result and that the runtime does not know.
void refuse_unsupported(const ConfigReader& reader, const Json& json, bool qwen2) {
    if (reader.find("quantization_config") != nullptr)
        reader.fail("the checkpoint is quantized already (quantization_config)",
                    "start from the original checkpoint");
    const std::string activation = reader.text(json, "hidden_act");
    if (!activation.empty() && activation != "silu" && activation != "swish")
        reader.fail("activation \"" + activation.substr(0, 60) + "\" is not supported",
                    "use a model whose hidden_act is silu");
    if (reader.flag("mlp_bias", false))
        reader.fail("mlp_bias is not supported", "use a model without biases in its MLP");
    if (!qwen2) return;
    if (reader.flag("use_sliding_window", false))
        reader.fail("sliding-window attention is not supported",
                    "use a model whose use_sliding_window is false");
    if (const Json* layers = reader.find("layer_types"); layers != nullptr && layers->is_array())
        for (const Json& layer : *layers)
            if (layer != "full_attention")
                reader.fail("layer type " + ConfigReader::shown(layer) + " is not supported",
                            "use a model with full attention in every layer");
}

}  // namespace

ModelConfig parse_hf_config(std::string_view json_text, const std::string& where) {
    const Json json = Json::parse(json_text, nullptr, false);
    if (json.is_discarded() || !json.is_object())
        throw Error("is not a JSON object", where, check_config);
    const ConfigReader reader(json, where);
    ModelConfig config;
    config.architecture = find_architecture(reader, json);
    const bool qwen2 = config.architecture == "qwen2";
    refuse_unsupported(reader, json, qwen2);

    constexpr std::int64_t widest = 1 << 22;
    config.vocab_size = reader.integer("vocab_size", -1, 1, 1 << 24);
    config.hidden_size = reader.integer("hidden_size", -1, 1, widest);
    config.intermediate_size = reader.integer("intermediate_size", -1, 1, widest);
    config.n_layers = reader.integer("num_hidden_layers", -1, 1, 4096);
    config.n_heads = reader.integer("num_attention_heads", -1, 1, 65536);
    config.n_kv_heads = reader.integer("num_key_value_heads", config.n_heads, 1, 65536);
    if (config.n_heads % config.n_kv_heads != 0)
        reader.fail(
            fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                        config.n_heads, config.n_kv_heads));
    const bool whole = config.hidden_size % config.n_heads == 0;
    config.head_dim =
        reader.integer("head_dim", whole ? config.hidden_size / config.n_heads : -1, 1, 65536);
    if (config.head_dim % 2 != 0)
        reader.fail(
            fmt::format("head_dim {} is odd, rotary positions need pairs", config.head_dim));
    if (config.n_heads * config.head_dim > widest)
        reader.fail(
            fmt::format("{} heads of {} are absurdly wide", config.n_heads, config.head_dim));
    config.max_position =
        reader.integer("max_position_embeddings", qwen2 ? 32768 : 2048, 1, std::int64_t{1} << 40);
    config.rms_norm_eps = reader.positive(json, "rms_norm_eps", 1e-6);
    if (config.rms_norm_eps >= 1) reader.fail("rms_norm_eps is not below 1");
    read_rope(reader, json, config);

    config.tie_embeddings = reader.flag("tie_word_embeddings", false);
    const bool biased = reader.flag("attention_bias", false);
    config.attention_bias = qwen2 || biased;
    config.attention_output_bias = !qwen2 && biased;
    // What transformers assumes for keys that config.json leaves out.
    using Ids = std::vector<std::int64_t>;
    config.bos_ids = reader.ids("bos_token_id", qwen2 ? Ids{} : Ids{1}, config.vocab_size);
    config.eos_ids = reader.ids("eos_token_id", qwen2 ? Ids{} : Ids{2}, config.vocab_size);
    config.hf_json = std::string(json_text);
    return config;
}

}  // namespace vq
