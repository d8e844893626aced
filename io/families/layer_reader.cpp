// SPDX-License-Identifier: Apache-2.0
#include "io/families/layer_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/families/head_sizes.h"
#include "io/families/rope_config.h"

namespace vq {
namespace {

enum class LayerType : std::uint8_t { full, window, chunk, delta, conv };

/// Which types layer_types may name in a family, in the words of config.json.
std::vector<std::pair<const char*, LayerType>> known_types(const Family& family) {
    std::vector<std::pair<const char*, LayerType>> types = {{"full_attention", LayerType::full}};
    switch (family.features.layers) {
        case LayerPattern::full: types.emplace_back("attention", LayerType::full); break;
        case LayerPattern::windows:
        case LayerPattern::windows_from:
        case LayerPattern::windows_but_nth:
        case LayerPattern::windows_unturned:
            types.emplace_back("sliding_attention", LayerType::window);
            break;
        case LayerPattern::chunks_that_turn:
            types.emplace_back("chunked_attention", LayerType::chunk);
            break;
        case LayerPattern::delta_but_nth:
            types.emplace_back("linear_attention", LayerType::delta);
            break;
        case LayerPattern::convolutions: types.emplace_back("conv", LayerType::conv); break;
    }
    return types;
}

/// The size of windows; 0: there are none.
std::int64_t window_size(const ConfigReader& reader) {
    const bool used =
        reader.find(Setting::use_window) == nullptr || reader.flag(Setting::use_window);
    if (!used || reader.says_null(Setting::sliding_window)) return 0;
    return reader.integer_or(Setting::sliding_window, 0, 0, std::int64_t{1} << 40);
}

bool turns_by_list(const ConfigReader& reader, std::int64_t layer, std::int64_t n_layers) {
    if (const Json* list = reader.list(Setting::no_rope_layers, n_layers)) {
        const Json& turns = (*list)[static_cast<std::size_t>(layer)];
        if (turns != 0 && turns != 1)
            reader.fail(fmt::format("{} holds {}, not 0 or 1", reader.name(Setting::no_rope_layers),
                                    shown(turns)));
        return turns == 1;
    }
    return (layer + 1) % reader.integer(Setting::no_rope_interval, 1, 4096) != 0;
}

LayerType pattern_type(const ConfigReader& reader, std::int64_t layer, std::int64_t n_layers,
                       std::int64_t window) {
    const FamilyFeatures& features = reader.family().features;
    const auto windowed = [&](bool is) {
        return is && window > 0 ? LayerType::window : LayerType::full;
    };
    const auto nth = [&](Setting setting, std::int64_t usual) {
        return (layer + 1) % reader.integer_or(setting, usual, 1, 4096) == 0;
    };
    switch (features.layers) {
        case LayerPattern::full: return LayerType::full;
        case LayerPattern::windows: return windowed(true);
        case LayerPattern::windows_from:
            return windowed(layer >= reader.integer(Setting::max_window_layers, 0, 1 << 20));
        case LayerPattern::windows_but_nth:
            return windowed(!nth(Setting::window_pattern, features.window_pattern));
        case LayerPattern::chunks_that_turn:
            return turns_by_list(reader, layer, n_layers) ? LayerType::chunk : LayerType::full;
        case LayerPattern::windows_unturned:
            return windowed(!turns_by_list(reader, layer, n_layers));
        case LayerPattern::delta_but_nth:
            return nth(Setting::attention_interval, 4) ? LayerType::full : LayerType::delta;
        case LayerPattern::convolutions: {
            const Json* list = reader.find(Setting::attention_layers);
            if (list == nullptr || !list->is_array())
                reader.fail(reader.name(Setting::layer_types) + " is missing");
            const bool full = std::find(list->begin(), list->end(), Json(layer)) != list->end();
            return full ? LayerType::full : LayerType::conv;
        }
    }
    return LayerType::full;
}

std::vector<LayerType> layer_types(const ConfigReader& reader, std::int64_t n_layers,
                                   std::int64_t window) {
    const auto known = known_types(reader.family());
    const std::string name = reader.name(Setting::layer_types);
    const Json* list = reader.list(Setting::layer_types, n_layers);
    std::vector<LayerType> types;
    for (std::int64_t i = 0; i < n_layers; ++i) {
        if (list == nullptr) {
            const bool last = i + 1 == n_layers && reader.family().features.ends_full;
            types.push_back(last ? LayerType::full : pattern_type(reader, i, n_layers, window));
            continue;
        }
        const Json& type = (*list)[static_cast<std::size_t>(i)];
        const auto found = std::find_if(known.begin(), known.end(),
                                        [&](const auto& k) { return type == k.first; });
        if (found == known.end() || (found->second == LayerType::window && window == 0)) {
            std::string supported = "full_attention";
            if (found == known.end())
                for (std::size_t k = 1; k < known.size(); ++k)
                    supported += std::string(" or ") + known[k].first;
            reader.fail_unsupported(name, type, supported);
        }
        types.push_back(found->second);
    }
    // Other programs take it for one without, with a warning.
    if (reader.family().features.ends_full && types.back() == LayerType::window)
        reader.fail(fmt::format("{}: the last layer has a window", name));
    return types;
}

void check_width(const ConfigReader& reader, std::int64_t heads, std::int64_t size) {
    if (heads * size > widest_layer)
        reader.fail(fmt::format("{} heads of {} are absurdly wide", heads, size));
}

void check_heads(const ConfigReader& reader, const AttentionConfig& heads) {
    if (heads.n_heads % heads.n_kv_heads != 0)
        reader.fail(fmt::format("{} {} is not a multiple of {} {}", reader.name(Setting::heads),
                                heads.n_heads, reader.name(Setting::kv_heads), heads.n_kv_heads));
    if (heads.head_dim % 2 != 0)
        reader.fail(fmt::format("head_dim {} is odd, rotary positions need pairs", heads.head_dim));
    check_width(reader, heads.n_heads, heads.head_dim);
}

/// What the heads of all layers have in common.
AttentionConfig read_attention(const ConfigReader& reader, std::int64_t hidden_size) {
    const FamilyFeatures& features = reader.family().features;
    AttentionConfig heads;
    heads.n_heads = reader.integer(Setting::heads, 1, 65536);
    heads.n_kv_heads = reader.integer_or(Setting::kv_heads, heads.n_heads, 1, 65536);
    const bool whole = hidden_size % heads.n_heads == 0;
    if (!whole && reader.name(Setting::head_dim).empty())
        reader.fail(fmt::format("{} {} is not a multiple of {} {}",
                                reader.name(Setting::hidden_size), hidden_size,
                                reader.name(Setting::heads), heads.n_heads));
    heads.head_dim =
        whole ? reader.integer_or(Setting::head_dim, hidden_size / heads.n_heads, 1, 65536)
              : reader.integer(Setting::head_dim, 1, 65536);
    check_heads(reader, heads);
    heads.scale = 1.0 / std::sqrt(static_cast<double>(heads.head_dim));
    if (reader.find(Setting::query_scalar) != nullptr)
        heads.scale = 1.0 / std::sqrt(reader.positive(Setting::query_scalar));
    if (reader.find(Setting::score_multiplier) != nullptr)
        heads.scale = reader.positive(Setting::score_multiplier);
    if (features.score_scale > 0) heads.scale = features.score_scale;
    heads.softcap = reader.positive_or(Setting::score_softcap, 0);
    if (reader.find(Setting::use_head_norm) == nullptr || reader.flag(Setting::use_head_norm))
        heads.head_norm = features.head_norm;
    heads.sinks = features.sinks;
    heads.output_gate = features.output_gate;
    heads.value_norm = features.value_norm;
    return heads;
}

LatentAttentionConfig read_latent(const ConfigReader& reader) {
    LatentAttentionConfig latent;
    latent.n_heads = reader.integer(Setting::heads, 1, 65536);
    if (reader.integer_or(Setting::kv_heads, latent.n_heads, 1, 65536) != latent.n_heads)
        reader.fail_unsupported(reader.name(Setting::kv_heads), *reader.find(Setting::kv_heads),
                                std::to_string(latent.n_heads));
    if (!reader.says_null(Setting::query_rank))
        latent.query_rank = reader.integer(Setting::query_rank, 1, widest_layer);
    latent.kv_rank = reader.integer(Setting::kv_rank, 1, widest_layer);
    latent.plain_dim = reader.integer(Setting::plain_head_dim, 1, 65536);
    latent.rope_dim = reader.integer(Setting::rope_head_dim, 2, 65536);
    latent.value_dim = reader.integer(Setting::value_head_dim, 1, 65536);
    const std::int64_t whole = latent.plain_dim + latent.rope_dim;
    if (reader.integer_or(Setting::whole_head_dim, whole, 1, 131072) != whole)
        reader.fail_unsupported(reader.name(Setting::whole_head_dim),
                                *reader.find(Setting::whole_head_dim), std::to_string(whole));
    check_width(reader, latent.n_heads, std::max(whole, latent.plain_dim + latent.value_dim));
    latent.scale = 1.0 / std::sqrt(static_cast<double>(whole));
    return latent;
}

GatedDeltaConfig read_delta(const ConfigReader& reader) {
    GatedDeltaConfig delta;
    delta.n_key_heads = reader.integer(Setting::delta_key_heads, 1, 65536);
    delta.n_value_heads = reader.integer(Setting::delta_value_heads, 1, 65536);
    delta.key_dim = reader.integer(Setting::delta_key_dim, 1, 65536);
    delta.value_dim = reader.integer(Setting::delta_value_dim, 1, 65536);
    delta.kernel = reader.integer(Setting::delta_kernel, 1, 64);
    delta.interleaved = reader.family().features.delta_interleaved;
    if (delta.n_value_heads % delta.n_key_heads != 0)
        reader.fail(fmt::format("{} {} is not a multiple of {} {}",
                                reader.name(Setting::delta_value_heads), delta.n_value_heads,
                                reader.name(Setting::delta_key_heads), delta.n_key_heads));
    check_width(reader, delta.n_key_heads, delta.key_dim);
    check_width(reader, delta.n_value_heads, delta.value_dim);
    return delta;
}

/// Whether the heads of a layer turn.
bool turns(const ConfigReader& reader, LayerType type, std::int64_t layer, std::int64_t n_layers,
           std::int64_t window) {
    switch (reader.family().features.turning) {
        case Turning::all: return true;
        case Turning::listed: return turns_by_list(reader, layer, n_layers);
        case Turning::with_window: return type == LayerType::window;
        case Turning::with_window_if_any: return window == 0 || type == LayerType::window;
        case Turning::if_configured: {
            const std::string name = reader.name(Setting::position_kind);
            const std::string kind =
                text_of(reader.find(Setting::position_kind), name, reader.where());
            if (kind != "rope" && kind != "nope" && !kind.empty())
                reader.fail_unsupported(name, kind, "rope or nope");
            return kind == "rope";
        }
    }
    return true;
}

/// An attention layer of this type, at this place.
AttentionConfig placed(const ConfigReader& reader, AttentionConfig heads, LayerType type,
                       bool turning, std::int64_t window) {
    if (type == LayerType::window) heads.window = window;
    if (type == LayerType::chunk)
        heads.chunk = reader.integer(Setting::chunk_size, 1, std::int64_t{1} << 40);
    if (turning) return heads;
    heads.rope = -1;
    if (heads.head_norm == HeadNorm::unit_after_rope) heads.head_norm = HeadNorm::none;
    if (reader.flag(Setting::query_growth_on)) {
        heads.query_growth = reader.positive(Setting::query_growth);
        heads.query_period = reader.positive(Setting::query_period);
        heads.query_shift = 1;
    }
    return heads;
}

}  // namespace

void read_layers(const ConfigReader& reader, ModelConfig& config) {
    const FamilyFeatures& features = reader.family().features;
    const std::int64_t n_layers = reader.integer(Setting::layers, 1, 4096);
    const std::int64_t window = window_size(reader);
    const std::vector<LayerType> types = layer_types(reader, n_layers, window);
    const std::vector<FeedForwardConfig> feed_forward = read_feed_forward(reader, n_layers);
    LayerConfig usual;
    usual.parallel = features.parallel;
    usual.residual_scale = reader.positive_or(Setting::residual_multiplier, 1);
    usual.layer_input = config.layer_inputs.width;
    AttentionConfig heads;
    if (features.latent)
        usual.latent = read_latent(reader);
    else
        heads = read_attention(reader, config.hidden_size);
    std::vector<bool> windowed;
    for (const LayerType type : types) windowed.push_back(type == LayerType::window);
    const std::vector<HeadSizes> sizes =
        read_head_sizes(reader, {heads.head_dim, heads.n_kv_heads}, windowed);
    const auto head_dim = [&](bool in_window) {
        if (features.latent) return usual.latent.rope_dim;
        const auto at = std::find(windowed.begin(), windowed.end(), in_window) - windowed.begin();
        return at < n_layers ? sizes[static_cast<std::size_t>(at)].head_dim : heads.head_dim;
    };
    const RopeReading rope = read_rope(reader, head_dim(false), false);
    config.ropes.push_back(rope.rope);
    const bool two_ropes = features.rope_by_layer_type &&
                           std::find(windowed.begin(), windowed.end(), true) != windowed.end();
    if (two_ropes) config.ropes.push_back(read_rope(reader, head_dim(true), true).rope);
    heads.query_growth = rope.query_growth;
    heads.query_period = rope.query_period;
    usual.latent.scale *= rope.score_scale;

    for (std::int64_t i = 0; i < n_layers; ++i) {
        const LayerType type = types[static_cast<std::size_t>(i)];
        LayerConfig layer = usual;
        layer.mlp = feed_forward[static_cast<std::size_t>(i)].mlp;
        layer.mixture = feed_forward[static_cast<std::size_t>(i)].mixture;
        if (type == LayerType::delta) {
            layer.mixer = Mixer::gated_delta;
            layer.delta = read_delta(reader);
        } else if (type == LayerType::conv) {
            layer.mixer = Mixer::short_conv;
            layer.conv.kernel = reader.integer(Setting::conv_kernel, 1, 64);
        } else if (features.latent) {
            layer.mixer = Mixer::latent_attention;
        } else {
            layer.attention =
                placed(reader, heads, type, turns(reader, type, i, n_layers, window), window);
            if (two_ropes && type == LayerType::window && layer.attention.rope >= 0)
                layer.attention.rope = 1;
            layer.attention.head_dim = sizes[static_cast<std::size_t>(i)].head_dim;
            layer.attention.n_kv_heads = sizes[static_cast<std::size_t>(i)].n_kv_heads;
            check_heads(reader, layer.attention);
            layer.attention.keys_are_values =
                type == LayerType::full && reader.flag(Setting::keys_are_values);
        }
        config.layers.push_back(std::move(layer));
    }
    read_shared_keys(reader, config.layers);
}

}  // namespace vq
