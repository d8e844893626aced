// SPDX-License-Identifier: Apache-2.0
#include "io/families/head_sizes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "io/families/layer_reader.h"

namespace vq {
namespace {

std::int64_t size_in(const ConfigReader& reader, const Json& value, const std::string& key) {
    const bool good = value.is_number_integer() && value >= 1 && value <= 65536;
    if (!good)
        reader.fail(fmt::format("{} is {}, not an integer from 1 to 65536", key, shown(value)));
    return value.get<std::int64_t>();
}

/// The layer that a key of the object of overrides names.
std::size_t layer_of(const ConfigReader& reader, const std::string& key, std::size_t n_layers) {
    std::size_t layer = 0;
    const char* const end = key.data() + key.size();
    const auto [stop, code] = std::from_chars(key.data(), end, layer);
    if (code != std::errc() || stop != end || layer >= n_layers)
        reader.fail(fmt::format("{} names a layer {}, of {}", reader.name(Setting::layer_overrides),
                                key.substr(0, 20), n_layers));
    return layer;
}

void override_sizes(const ConfigReader& reader, const Json& overrides,
                    std::vector<HeadSizes>& sizes) {
    const std::string name = reader.name(Setting::layer_overrides);
    if (!overrides.is_object())
        reader.fail(fmt::format("{} is {}, not an object", name, shown(overrides)));
    for (const auto& [key, changes] : overrides.items()) {
        HeadSizes& size = sizes[layer_of(reader, key, sizes.size())];
        const std::string path = name + "." + key;
        if (!changes.is_object())
            reader.fail(fmt::format("{} is {}, not an object", path, shown(changes)));
        for (const auto& [what, value] : changes.items()) {
            const std::string whole = path + "." + what.substr(0, 60);
            if (what == reader.name(Setting::head_dim))
                size.head_dim = size_in(reader, value, whole);
            else if (what == reader.name(Setting::kv_heads))
                size.n_kv_heads = size_in(reader, value, whole);
            else
                reader.fail(
                    fmt::format("{} is {}, and what that means is not known", whole, shown(value)));
        }
    }
}

}  // namespace

std::vector<HeadSizes> read_head_sizes(const ConfigReader& reader, HeadSizes usual,
                                       const std::vector<bool>& windowed) {
    std::vector<HeadSizes> sizes(windowed.size(), usual);
    if (const Json* overrides = reader.find(Setting::layer_overrides)) {
        // They say all of it, whatever stands beside them.
        override_sizes(reader, *overrides, sizes);
    } else if (reader.find(Setting::full_head_dim) != nullptr) {
        HeadSizes full = usual;
        full.head_dim = reader.integer(Setting::full_head_dim, 1, 65536);
        if (reader.flag(Setting::keys_are_values))
            full.n_kv_heads = reader.integer_or(Setting::full_kv_heads, usual.n_kv_heads, 1, 65536);
        for (std::size_t l = 0; l < sizes.size(); ++l)
            if (!windowed[l]) sizes[l] = full;
    }
    for (std::size_t l = 0; l < sizes.size(); ++l) {
        const auto same = static_cast<std::size_t>(
            std::find(windowed.begin(), windowed.end(), windowed[l]) - windowed.begin());
        if (sizes[l] != sizes[same])
            reader.fail(fmt::format(
                "layers {} and {} are of one kind and have {} heads of {} and {} heads of {} for "
                "keys, which is not supported",
                same, l, sizes[same].n_kv_heads, sizes[same].head_dim, sizes[l].n_kv_heads,
                sizes[l].head_dim));
    }
    return sizes;
}

void read_shared_keys(const ConfigReader& reader, std::vector<LayerConfig>& layers) {
    const auto n = static_cast<std::int64_t>(layers.size());
    const std::int64_t shared = reader.integer_or(Setting::shared_key_layers, 0, 0, n - 1);
    const bool wide = reader.flag(Setting::double_wide);
    for (std::int64_t l = n - shared; l < n; ++l) {
        LayerConfig& layer = layers[static_cast<std::size_t>(l)];
        std::int64_t from = n - shared - 1;
        while (from >= 0 && (layers[static_cast<std::size_t>(from)].attention.window > 0) !=
                                (layer.attention.window > 0))
            --from;
        if (from < 0)
            reader.fail(fmt::format("{} is {}, and layer {} finds no keys to use",
                                    reader.name(Setting::shared_key_layers), shared, l));
        layer.attention.keys_from = static_cast<int>(from);
        layers[static_cast<std::size_t>(from)].attention.lends_keys = true;
        if (!wide) continue;
        layer.mlp.width *= 2;
        if (layer.mlp.width > widest_layer)
            reader.fail(fmt::format("an MLP of {} is absurdly wide", layer.mlp.width));
    }
}

}  // namespace vq
