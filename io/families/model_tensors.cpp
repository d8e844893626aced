// SPDX-License-Identifier: Apache-2.0
#include "io/families/model_tensors.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "io/families/tensor_shape.h"

namespace vq {
namespace {

constexpr std::string_view model_prefix = "model.";

/// "{}" of a row's name become the numbers, one after the other, and the last for all that follow.
std::string numbered(std::string_view name, std::initializer_list<std::int64_t> numbers) {
    std::string text;
    auto number = numbers.begin();
    for (std::size_t at = 0; at < name.size();) {
        if (name.substr(at, 2) != "{}") {
            text += name[at++];
            continue;
        }
        text += std::to_string(*number);
        if (number + 1 != numbers.end()) ++number;
        at += 2;
    }
    return text;
}

bool is_of_block(const TensorNames& names) {
    return std::string_view(names.hf).find("{}") != std::string_view::npos;
}

bool is_of_expert(TensorRole role) {
    return role == TensorRole::expert_gate || role == TensorRole::expert_up ||
           role == TensorRole::expert_gate_up || role == TensorRole::expert_down;
}

bool is_called_for(const ConfigReader& reader, const LayerConfig& layer, TensorRole role) {
    const bool attention = layer.mixer == Mixer::attention;
    const bool latent = layer.mixer == Mixer::latent_attention;
    const bool mixture = layer.mixture.n_experts > 0;
    const bool own_keys = layer.attention.keys_from < 0;
    switch (role) {
        case TensorRole::query: return attention || (latent && layer.latent.query_rank == 0);
        case TensorRole::key: return attention && own_keys;
        case TensorRole::value: return attention && own_keys && !layer.attention.keys_are_values;
        case TensorRole::query_key_value: return attention;
        case TensorRole::attention_out: return attention || latent;
        case TensorRole::query_norm:
        case TensorRole::key_norm:
            return attention && layer.attention.head_norm != HeadNorm::none &&
                   layer.attention.head_norm != HeadNorm::unit_after_rope &&
                   (own_keys || role == TensorRole::query_norm);
        case TensorRole::sinks: return attention && layer.attention.sinks;
        case TensorRole::latent_query_down:
        case TensorRole::latent_query_norm:
        case TensorRole::latent_query_up: return latent && layer.latent.query_rank > 0;
        case TensorRole::latent_key_value_down:
        case TensorRole::latent_key_value_norm:
        case TensorRole::latent_key_value_up: return latent;
        case TensorRole::delta_query_key_value:
        case TensorRole::delta_gate:
        case TensorRole::delta_write:
        case TensorRole::delta_decay:
        case TensorRole::delta_query_key_value_gate:
        case TensorRole::delta_write_decay:
        case TensorRole::delta_conv:
        case TensorRole::delta_log_decay:
        case TensorRole::delta_decay_bias:
        case TensorRole::delta_norm:
        case TensorRole::delta_out: return layer.mixer == Mixer::gated_delta;
        case TensorRole::conv_in:
        case TensorRole::conv_weight:
        case TensorRole::conv_out: return layer.mixer == Mixer::short_conv;
        case TensorRole::gate:
        case TensorRole::up:
        case TensorRole::gate_up:
        case TensorRole::down: return layer.mlp.width > 0;
        case TensorRole::router:
        case TensorRole::router_scale:
        case TensorRole::expert_scale:
        case TensorRole::expert_gate:
        case TensorRole::expert_up:
        case TensorRole::expert_gate_up:
        case TensorRole::expert_down: return mixture;
        case TensorRole::router_bias:
            return mixture && (reader.find(Setting::router_bias) == nullptr ||
                               reader.flag(Setting::router_bias));
        case TensorRole::shared_gate:
        case TensorRole::shared_up:
        case TensorRole::shared_down:
        case TensorRole::shared_switch: return mixture && layer.mixture.shared_width > 0;
        case TensorRole::mlp_own_post_norm:
        case TensorRole::expert_norm:
        case TensorRole::expert_post_norm: return layer.mlp_beside_mixture();
        case TensorRole::layer_input_gate:
        case TensorRole::layer_input_out:
        case TensorRole::layer_input_norm: return layer.layer_input > 0;
        default: return true;
    }
}

bool has_bias(const ConfigReader& reader, Bias bias) {
    switch (bias) {
        case Bias::never: return false;
        case Bias::always: return true;
        case Bias::if_configured: return reader.flag(Setting::attention_bias);
        case Bias::if_out_configured: return reader.flag(Setting::attention_out_bias);
        case Bias::if_mlp: return reader.flag(Setting::mlp_bias);
    }
    return false;
}

class Resolver {
public:
    Resolver(const ConfigReader& reader, const std::string& prefix, const std::string& head_prefix,
             ModelConfig& config)
        : reader_(reader), prefix_(prefix), head_prefix_(head_prefix), config_(config) {}

    void operator()() {
        for (const TensorNames& names : reader_.family().tensors) {
            if (is_of_block(names)) continue;
            ModelTensor tensor = resolve(names, LayerConfig(), 0, -1);
            of_model(names.role) = std::move(tensor);
        }
        for (std::int64_t l = 0; l < config_.n_layers(); ++l) block(l);
    }

private:
    /// Where a tensor that is of no block stands.
    ModelTensor& of_model(TensorRole role) {
        switch (role) {
            case TensorRole::embedding: return config_.embedding;
            case TensorRole::layer_embedding: return config_.layer_inputs.embedding;
            case TensorRole::layer_projection: return config_.layer_inputs.projection;
            case TensorRole::layer_projection_norm: return config_.layer_inputs.norm;
            case TensorRole::final_norm: return config_.final_norm;
            default: VQ_ASSERT(role == TensorRole::head); return config_.head;
        }
    }

    /// Checkpoints hold keys and values of layers that use those of others.
    static bool is_unused(const LayerConfig& layer, TensorRole role) {
        const bool of_keys =
            role == TensorRole::key || role == TensorRole::value || role == TensorRole::key_norm;
        return of_keys && layer.mixer == Mixer::attention && layer.attention.keys_from >= 0;
    }

    void block(std::int64_t l) {
        const auto& all = reader_.family().tensors;
        LayerConfig& layer = config_.layers[static_cast<std::size_t>(l)];
        for (auto names = all.begin(); names != all.end();) {
            if (!is_of_block(*names) || !is_called_for(reader_, layer, names->role)) {
                if (is_unused(layer, names->role))
                    config_.unused.push_back(resolve(*names, layer, l, -1));
                ++names;
                continue;
            }
            if (!is_of_expert(names->role)) {
                layer.tensors.push_back(resolve(*names++, layer, l, -1));
                continue;
            }
            // All of an expert, then the next one.
            const auto end = std::find_if(names, all.end(), [](const TensorNames& other) {
                return !is_of_expert(other.role);
            });
            for (std::int64_t e = 0; e < layer.mixture.n_experts; ++e)
                for (auto of_expert = names; of_expert != end; ++of_expert)
                    layer.tensors.push_back(resolve(*of_expert, layer, l, e));
            names = end;
        }
    }

    ModelTensor resolve(const TensorNames& names, const LayerConfig& layer, std::int64_t l,
                        std::int64_t expert) const {
        ModelTensor tensor;
        tensor.role = names.role;
        tensor.name = numbered(names.hf, {l, expert});
        if (tensor.name.starts_with(model_prefix))
            tensor.name = prefix_ + tensor.name.substr(model_prefix.size());
        if (names.role == TensorRole::head) tensor.name = head_prefix_ + tensor.name;
        if (names.gguf != nullptr) tensor.gguf_name = numbered(names.gguf, {l});
        tensor.bias = has_bias(reader_, names.bias);
        tensor.bare = names.bare;
        tensor.expert = expert;
        tensor.layout = names.experts;
        tensor.dimensions = names.dimensions;
        set_shape(config_, layer, tensor);
        if (reader_.family().gguf.interleaved_pairs && names.role == TensorRole::query)
            tensor.gguf_pair_heads = layer.attention.n_heads;
        if (reader_.family().gguf.interleaved_pairs && names.role == TensorRole::key)
            tensor.gguf_pair_heads = layer.attention.n_kv_heads;
        return tensor;
    }

    const ConfigReader& reader_;
    const std::string& prefix_;
    const std::string& head_prefix_;
    ModelConfig& config_;
};

}  // namespace

std::string fused_stack_name(const ModelTensor& tensor) {
    constexpr std::string_view part = ".experts.";
    const std::size_t experts = tensor.name.rfind(part);
    if (experts == std::string::npos) return {};
    const bool down = tensor.role == TensorRole::expert_down;
    return tensor.name.substr(0, experts + part.size()) + (down ? "down_proj" : "gate_up_proj");
}

std::string embedding_name(const Family& family, const std::string& prefix) {
    for (const TensorNames& names : family.tensors)
        if (names.role == TensorRole::embedding) {
            const std::string_view name = names.hf;
            return (name.starts_with(model_prefix)
                        ? prefix + std::string(name.substr(model_prefix.size()))
                        : std::string(name)) +
                   ".weight";
        }
    VQ_ASSERT(false);
    return {};
}

void resolve_tensors(const ConfigReader& reader, const std::string& prefix,
                     const std::string& head_prefix, ModelConfig& config) {
    Resolver(reader, prefix, head_prefix, config)();
}

}  // namespace vq
