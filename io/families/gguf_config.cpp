// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/json.h"
#include "io/families/gguf_metadata.h"
#include "io/families/gguf_rope.h"

namespace vq {
namespace {

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

/// A config.json key by key, from what the file says and from which tensors it has.
class ConfigWriter {
public:
    ConfigWriter(const GgufMetadata& data) : data_(data), file_(data.file()) {
        hidden_ = data.required(metadata_key(Setting::hidden_size));
        const char* heads = metadata_key(Setting::heads);
        heads_ = data.required(heads);
        if (heads_ < 1) data.fail(data.key(heads), fmt::format("a count of {}", heads_));
        const ConfigKey* head_dim = find_key(data.family(), Setting::head_dim);
        head_dim_ = data.integer(head_dim != nullptr ? head_dim->gguf : "attention.key_length")
                        .value_or(hidden_ / heads_);
        const GgufTensor* embedding = data.tensor(TensorRole::embedding, 0, ".weight");
        vocab_ = embedding != nullptr && embedding->extents.size() == 2
                     ? embedding->extents[1]
                     : data.required(metadata_key(Setting::vocab_size));
        theta_ = data.real(metadata_key(Setting::rope_theta))
                     .value_or(fallback(Setting::rope_theta).get<double>());
        if (!latent()) check_heads();
    }

    Json operator()() const {
        const Family& family = data_.family();
        Json json;
        json["architectures"] = {family.hf_class};
        json["model_type"] = family.model_type;
        for (const ConfigKey& key : family.keys) {
            if (&key != find_key(family, key.setting)) continue;  // another name, or fixed
            if (std::optional<Json> value = value_of(key)) json[key.hf] = std::move(*value);
        }
        json["pad_token_id"] = token_ids(file_, {"tokenizer.ggml.padding_token_id"}, vocab_);
        json["torch_dtype"] = "float32";
        return json;
    }

private:
    bool latent() const { return data_.family().features.latent; }

    const char* metadata_key(Setting setting) const {
        const ConfigKey* key = find_key(data_.family(), setting);
        VQ_ASSERT(key != nullptr && key->gguf != nullptr);
        return key->gguf;
    }
    Json fallback(Setting setting) const {
        const ConfigKey* key = find_key(data_.family(), setting);
        return key == nullptr || key->fallback == nullptr ? Json() : Json::parse(key->fallback);
    }
    bool has(TensorRole role, const char* kind = ".weight") const {
        return data_.first(role, kind) != nullptr;
    }

    void check_heads() const {
        const std::int64_t full = full_head_dim();
        for (const char* key : {"attention.value_length_swa", "rope.dimension_count_swa"})
            if (by_type() && data_.integer(key).value_or(head_dim_) != head_dim_)
                data_.fail(data_.key(key), "a length other than that of keys");
        const auto values = data_.integer("attention.value_length");
        if (values.value_or(full) != full)
            data_.fail(data_.key("attention.value_length"),
                       "a value length other than the key length");
        const bool partial = find_key(data_.family(), Setting::partial_rotary) != nullptr ||
                             find_key(data_.family(), Setting::rotary_dim) != nullptr;
        const auto turned = data_.integer("rope.dimension_count");
        if (!partial && turned.value_or(full) != full)
            data_.fail(data_.key("rope.dimension_count"), "rotation of a part of a head");
    }

    /// Layers without windows have heads of their own kind, and turn in their own way.
    bool by_type() const { return data_.family().gguf.rope_by_type; }
    std::int64_t full_head_dim() const {
        const ConfigKey* key = find_key(data_.family(), Setting::full_head_dim);
        return key == nullptr ? head_dim_ : data_.integer(key->gguf).value_or(head_dim_);
    }
    /// Nothing where the key is a single number, or absent.
    std::optional<std::vector<std::int64_t>> list_of(const std::string& key) const {
        const GgufValue* value = file_.find(key);
        if (value == nullptr || value->type != GgufType::array) return std::nullopt;
        return file_.get_ints(key);
    }
    /// The number that a key lists for the layers that have windows, or for those that have none.
    /// Nothing where there are no such layers.
    std::optional<std::int64_t> number_of(const char* name, bool windowed) const {
        const std::string key = data_.key(name);
        const std::optional<std::vector<std::int64_t>> list = list_of(key);
        if (!list) return data_.integer(name);
        const std::vector<bool> windows = data_.windows();
        std::optional<std::int64_t> number;
        for (std::size_t l = 0; l < std::min(list->size(), windows.size()); ++l) {
            if (windows[l] != windowed) continue;
            if (number && *number != (*list)[l]) data_.fail(key, "differs from layer to layer");
            number = (*list)[l];
        }
        return number;
    }
    /// Layers without windows have keys and no values.
    bool keys_are_values() const {
        const std::vector<bool> windows = data_.windows();
        for (std::int64_t l = 0; l < data_.n_layers(); ++l)
            if (!windows[static_cast<std::size_t>(l)] &&
                data_.tensor(TensorRole::key, l, ".weight") != nullptr)
                return data_.tensor(TensorRole::value, l, ".weight") == nullptr;
        return false;
    }
    /// Of the MLPs: those of the first and of the last layer.
    std::pair<std::int64_t, std::int64_t> mlp_widths(const char* name) const {
        const auto list = list_of(data_.key(name));
        if (!list || list->empty()) return {data_.required(name), data_.required(name)};
        return {list->front(), list->back()};
    }

    /// Blocks that have a router, and those that have none.
    std::vector<std::int64_t> blocks(bool sparse) const {
        std::vector<std::int64_t> list;
        for (std::int64_t l = 0; l < data_.n_layers(); ++l)
            if ((data_.tensor(TensorRole::router, l, ".weight") != nullptr) == sparse)
                list.push_back(l);
        return list;
    }
    std::int64_t leading_dense() const {
        const std::vector<std::int64_t> sparse = blocks(true);
        return sparse.empty() ? data_.n_layers() : sparse.front();
    }
    /// Columns (0) or rows (1) of a tensor; 0 when there is none.
    std::int64_t extent(TensorRole role, std::size_t which) const {
        const GgufTensor* tensor = data_.first(role, ".weight");
        return tensor == nullptr || tensor->extents.size() <= which ? 0 : tensor->extents[which];
    }

    /// Which layers mix in which way, where the file lists them.
    std::optional<Json> types_of_layers() const {
        const std::string windows = data_.key("attention.sliding_window_pattern");
        Json types = Json::array();
        const LayerPattern pattern = data_.family().features.layers;
        if (pattern == LayerPattern::convolutions) {
            for (std::int64_t l = 0; l < data_.n_layers(); ++l)
                types.push_back(data_.tensor(TensorRole::query, l, ".weight") != nullptr
                                    ? "full_attention"
                                    : "conv");
            return types;
        }
        if (pattern != LayerPattern::windows_but_nth || !file_.has(windows)) return std::nullopt;
        if (file_.find(windows)->type != GgufType::array) return std::nullopt;
        for (const bool windowed : data_.flags("attention.sliding_window_pattern"))
            types.push_back(windowed ? "sliding_attention" : "full_attention");
        return types;
    }

    Json number_or_null(const ConfigKey& key) const {
        if (key.gguf == nullptr) return nullptr;
        if (const auto value = data_.integer(key.gguf)) return *value;
        return nullptr;
    }
    Json real_or_fallback(const ConfigKey& key) const {
        if (key.gguf != nullptr)
            if (const auto value = data_.real(key.gguf)) return *value;
        return key.fallback == nullptr ? Json() : Json::parse(key.fallback);
    }

    static std::optional<Json> unless_usual(const ConfigKey& key, const Json& value) {
        if (key.fallback != nullptr && Json::parse(key.fallback) == value) return std::nullopt;
        return value;
    }

    /// Nothing where an absent key says it.
    std::optional<Json> value_of(const ConfigKey& key) const {
        switch (key.setting) {
            case Setting::activation: return fallback(Setting::activation);
            case Setting::vocab_size: return vocab_;
            case Setting::hidden_size: return hidden_;
            case Setting::heads: return heads_;
            case Setting::layers: return data_.n_layers();
            case Setting::head_dim: return head_dim_;
            case Setting::kv_heads: return kv_heads(key);
            case Setting::intermediate_size:
                if (by_type()) return mlp_widths(key.gguf).first;
                [[fallthrough]];
            case Setting::max_position:
                if (key.gguf == nullptr) return std::nullopt;
                return data_.required(key.gguf);
            case Setting::norm_epsilon: return epsilon(key);
            case Setting::rope_theta: return theta_;
            case Setting::local_rope_theta:
            case Setting::score_multiplier:
            case Setting::embedding_multiplier:
            case Setting::residual_multiplier:
            case Setting::logit_divisor:
            case Setting::logit_multiplier:
            case Setting::score_softcap:
            case Setting::logit_softcap:
            case Setting::routed_scale: return real_or_fallback(key);
            case Setting::rope_parameters:
                if (!by_type()) return std::nullopt;
                return gguf_rope_by_type(data_, theta_,
                                         data_.real("rope.freq_base_swa").value_or(10000.0),
                                         full_head_dim());
            case Setting::rope_scaling: return gguf_rope_scaling(data_, theta_, turning_dims());
            case Setting::original_max_position:
                if (const auto original = data_.integer("rope.scaling.original_context_length"))
                    if (find_key(data_.family(), Setting::original_max_position)->fallback)
                        return *original;
                return std::nullopt;
            case Setting::partial_rotary:
                return unless_usual(
                    key, static_cast<double>(turning_dims()) / static_cast<double>(head_dim_));
            case Setting::rotary_dim: return turning_dims();
            case Setting::tie_embeddings:
                return data_.tensor(TensorRole::head, 0, ".weight") == nullptr;
            case Setting::attention_bias:
                return has(TensorRole::query, ".bias") || has(TensorRole::query_key_value, ".bias");
            case Setting::attention_out_bias: return has(TensorRole::attention_out, ".bias");
            case Setting::mlp_bias: return unless_usual(key, has(TensorRole::up, ".bias"));
            case Setting::use_window: return false;
            case Setting::sliding_window:
                if (key.gguf == nullptr) return std::nullopt;
                return number_or_null(key);
            case Setting::layer_types: return types_of_layers();
            case Setting::position_kind:
                return file_.get_bool(data_.key("rope.scaling.finetuned")).value_or(true) ? "rope"
                                                                                          : "nope";
            case Setting::query_scalar: {
                const bool wide = data_.n_layers() == data_.family().gguf.wide_query_layers;
                return wide ? hidden_ / heads_ : head_dim_;
            }
            case Setting::full_head_dim: return full_head_dim();
            case Setting::full_kv_heads: {
                const auto count = number_of("attention.head_count_kv", false);
                return count ? Json(*count) : Json();
            }
            case Setting::keys_are_values: return keys_are_values();
            case Setting::double_wide: {
                const auto [first, last] = mlp_widths(metadata_key(Setting::intermediate_size));
                return last != first;
            }
            case Setting::layer_input_vocab: return vocab_;
            case Setting::shared_key_layers:
            case Setting::layer_input_width: return data_.integer(key.gguf).value_or(0);
            case Setting::use_head_norm: return has(TensorRole::query_norm);
            case Setting::bos_ids: return token_ids(file_, {"tokenizer.ggml.bos_token_id"}, vocab_);
            case Setting::eos_ids:
                // Chat models end a turn with a token of its own; generation stops at either.
                return token_ids(
                    file_, {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}, vocab_);
            default: return mixture_value(key);
        }
    }

    std::optional<Json> mixture_value(const ConfigKey& key) const {
        switch (key.setting) {
            case Setting::mixture_on: return has(TensorRole::router);
            case Setting::experts:
            case Setting::active_experts:
            case Setting::expert_groups:
            case Setting::active_groups:
            case Setting::attention_interval:
            case Setting::delta_key_heads:
            case Setting::delta_value_heads:
            case Setting::delta_key_dim:
            case Setting::delta_kernel:
            case Setting::conv_kernel:
            case Setting::kv_rank:
            case Setting::dense_width:
                if (key.gguf == nullptr || !data_.has(key.gguf)) return std::nullopt;
                return number_or_null(key);
            case Setting::query_rank: return number_or_null(key);
            case Setting::expert_width:
                if (const std::int64_t width = extent(TensorRole::expert_down, 0)) return width;
                if (find_key(data_.family(), Setting::mixture_on) != nullptr) return std::nullopt;
                return data_.required("expert_feed_forward_length");
            case Setting::shared_width: return extent(TensorRole::shared_down, 0);
            case Setting::shared_experts: {
                const std::int64_t width = extent(TensorRole::expert_down, 0);
                return width == 0 ? 0 : extent(TensorRole::shared_down, 0) / width;
            }
            case Setting::normalize_weights:
                if (const auto flag = file_.get_bool(data_.key("expert_weights_norm")))
                    return *flag;
                return data_.family().gguf.normalized;
            case Setting::router_bias: return has(TensorRole::router_bias);
            case Setting::first_dense_layers:
            case Setting::first_sparse_layer: return leading_dense();
            case Setting::dense_layers: return blocks(false);
            case Setting::sparse_layers: return blocks(true);
            case Setting::plain_head_dim: return key_length() - rope_dims();
            case Setting::rope_head_dim: return rope_dims();
            case Setting::value_head_dim:
                return data_.integer("attention.value_length_mla")
                    .value_or(data_.integer("attention.value_length").value_or(0));
            case Setting::delta_value_dim:
                return data_.required("ssm.inner_size") /
                       std::max<std::int64_t>(1, data_.required("ssm.time_step_rank"));
            case Setting::adjust_width: return false;
            default: return std::nullopt;  // what an absent key stands for
        }
    }

    std::int64_t key_length() const {
        return data_.integer("attention.key_length_mla").value_or(head_dim_);
    }
    std::int64_t rope_dims() const { return data_.required("rope.dimension_count"); }
    std::int64_t turning_dims() const {
        if (latent()) return rope_dims();
        return data_.integer("rope.dimension_count").value_or(head_dim_);
    }
    Json kv_heads(const ConfigKey& key) const {
        if (latent()) return heads_;
        if (by_type()) return number_of(key.gguf, true).value_or(heads_);
        const std::string name = data_.key(key.gguf);
        const GgufValue* value = file_.find(name);
        if (value == nullptr || value->type != GgufType::array)
            return data_.integer(key.gguf).value_or(heads_);
        // Layers without attention have none.
        std::int64_t count = 0;
        const std::vector<std::int64_t> entries = *file_.get_ints(name);
        for (const std::int64_t entry : entries) {
            if (entry == 0) continue;
            if (count != 0 && entry != count) data_.fail(name, "differs from layer to layer");
            count = entry;
        }
        return count;
    }
    Json epsilon(const ConfigKey& key) const {
        const auto value = data_.real(key.gguf);
        if (!value)
            throw Error("key is missing", file_.path() + ": " + data_.key(key.gguf),
                        "convert the model again");
        return *value;
    }

    const GgufMetadata& data_;
    const GgufFile& file_;
    std::int64_t hidden_ = 0;
    std::int64_t heads_ = 0;
    std::int64_t head_dim_ = 0;
    std::int64_t vocab_ = 0;
    double theta_ = 0;
};

/// What such files never say.
void add_notes(const GgufMetadata& data, ModelConfig& config) {
    const GgufTraits& traits = data.family().gguf;
    if (traits.note != nullptr) config.notes.emplace_back(traits.note);
    if (traits.name_with_windows == nullptr) return;
    for (const char* key : {"general.name", "general.basename"}) {
        std::string name = data.file().get_string(key).value_or("");
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        if (name.find(traits.name_with_windows) == std::string::npos) continue;
        config.notes.emplace_back(no_windows_note);
        return;
    }
}

/// Files may say layer by layer, or with "every nth has none", which layers have windows: it must be
/// what the family's own rule came to.
void check_windows(const GgufMetadata& data, const ModelConfig& config) {
    const char* name = "attention.sliding_window_pattern";
    const std::string key = data.key(name);
    const GgufValue* value = data.file().find(key);
    if (value == nullptr) return;
    const bool list = value->type == GgufType::array;
    const std::vector<bool> flags = list ? data.flags(name) : std::vector<bool>();
    const std::int64_t nth = list ? 0 : data.required(name);
    if (list && flags.size() < config.layers.size())
        data.fail(key, fmt::format("a list of {} layers of {}", flags.size(), config.n_layers()));
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
        if (config.layers[i].mixer != Mixer::attention) continue;
        const AttentionConfig& heads = config.layers[i].attention;
        const bool windowed = heads.window > 0 || heads.chunk > 0;
        const bool said =
            list ? flags[i] : nth == 0 || (static_cast<std::int64_t>(i) + 1) % nth != 0;
        if (windowed != said)
            data.fail(key, fmt::format("layer {} {} a window", i, said ? "with" : "without"));
    }
}

/// A list of the layers that keep a state instead of keys must be what the family came to.
void check_recurrent(const GgufMetadata& data, const ModelConfig& config) {
    const char* name = "attention.recurrent_layers";
    const std::string key = data.key(name);
    if (data.file().find(key) == nullptr) return;
    const std::vector<bool> flags = data.flags(name);
    if (flags.size() < config.layers.size())
        data.fail(key, fmt::format("a list of {} layers of {}", flags.size(), config.n_layers()));
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
        const Mixer mixer = config.layers[i].mixer;
        if (flags[i] != (mixer == Mixer::gated_delta || mixer == Mixer::short_conv))
            data.fail(key, fmt::format("layer {} {} attention", i, flags[i] ? "without" : "with"));
    }
}

/// A base of rotary positions in windows must be what their layers came to.
void check_local_theta(const GgufMetadata& data, const ModelConfig& config) {
    const auto theta = data.real("rope.freq_base_swa");
    if (!theta) return;
    for (const LayerConfig& layer : config.layers) {
        const AttentionConfig& heads = layer.attention;
        if (layer.mixer != Mixer::attention || heads.window == 0 || heads.rope < 0) continue;
        const double has = config.ropes[static_cast<std::size_t>(heads.rope)].theta;
        if (has != *theta)
            data.fail(data.key("rope.freq_base_swa"),
                      fmt::format("a base of {} in windows beside {}", *theta, has));
    }
}

}  // namespace

ModelConfig gguf_model_config(const GgufFile& file, std::span<const Family> table) {
    const Family& family = gguf_family(file, table);
    const GgufMetadata data(file, family);
    const Json json = ConfigWriter(data)();
    ModelConfig config = parse_hf_config(json.dump(2) + "\n", file.path(), table);
    check_windows(data, config);
    check_recurrent(data, config);
    check_local_theta(data, config);
    add_notes(data, config);
    return config;
}

}  // namespace vq
