// SPDX-License-Identifier: Apache-2.0
// The MLPs of blocks, and which blocks have a mixture of experts instead.
#include <fmt/format.h>

#include <algorithm>

#include "io/families/layer_reader.h"

namespace vq {
namespace {

/// Of all layers: a configuration alone must not fill the memory with names of tensors.
constexpr std::int64_t most_experts = 1 << 18;

Activation read_activation(const ConfigReader& reader) {
    const std::string name = reader.name(Setting::activation);
    const std::string act = text_of(reader.find(Setting::activation), name, reader.where());
    const bool silu = act == "silu" || act == "swish";
    if (reader.family().features.clamped_swiglu) {
        if (!silu) reader.fail_unsupported(name, act, "silu");
        return Activation::clamped_swiglu;
    }
    if (silu) return Activation::silu;
    if (act == "gelu") return Activation::gelu;
    if (act == "gelu_pytorch_tanh" || act == "gelu_new") return Activation::gelu_tanh;
    if (act == "relu2") return Activation::relu_squared;
    reader.fail_unsupported(name, act, "silu, gelu, gelu_pytorch_tanh, gelu_new or relu2");
}

/// What becomes of intermediate_size where a configuration says how to make the width of it (LFM2).
std::int64_t adjusted_width(const ConfigReader& reader, std::int64_t width) {
    if (!reader.flag(Setting::adjust_width)) return width;
    width = 2 * width / 3;
    if (reader.find(Setting::width_multiplier) == nullptr) return width;
    const double wanted = reader.positive(Setting::width_multiplier) * static_cast<double>(width);
    const std::int64_t multiple = reader.integer(Setting::width_multiple, 1, widest_layer);
    if (!(wanted >= 1 && wanted <= static_cast<double>(widest_layer)))
        reader.fail(
            fmt::format("{} makes a width of {}", reader.name(Setting::width_multiplier), wanted));
    width = static_cast<std::int64_t>(wanted);
    return (width + multiple - 1) / multiple * multiple;
}

MixtureConfig read_mixture(const ConfigReader& reader, std::int64_t width, Activation activation) {
    const FamilyFeatures& features = reader.family().features;
    MixtureConfig mixture;
    if (reader.find(Setting::experts) == nullptr) return mixture;
    if (reader.find(Setting::mixture_on) != nullptr && !reader.flag(Setting::mixture_on))
        return mixture;
    mixture.n_experts = reader.integer(Setting::experts, 0, 65536);
    if (mixture.n_experts == 0) return mixture;
    mixture.weight = features.routing;
    mixture.n_active = reader.common_integer(Setting::active_experts, 1, 65536);
    if (mixture.n_active > mixture.n_experts)
        reader.fail(fmt::format("{} is {}, more than the {} experts",
                                reader.name(Setting::active_experts), mixture.n_active,
                                mixture.n_experts));
    mixture.width = reader.find(Setting::expert_width) == nullptr
                        ? width
                        : reader.common_integer(Setting::expert_width, 1, widest_layer);
    if (reader.find(Setting::shared_width) != nullptr)
        mixture.shared_width = reader.integer(Setting::shared_width, 0, widest_layer);
    else if (reader.find(Setting::shared_experts) != nullptr)
        mixture.shared_width =
            reader.common_integer(Setting::shared_experts, 0, 4096) * mixture.width;
    mixture.normalized = features.normalized || reader.flag(Setting::normalize_weights);
    mixture.scale = reader.positive_or(Setting::routed_scale, 1.0);
    mixture.n_groups = reader.integer_or(Setting::expert_groups, 1, 1, mixture.n_experts);
    mixture.n_active_groups = reader.integer_or(Setting::active_groups, mixture.n_groups, 1, 65536);
    if (mixture.n_experts % mixture.n_groups != 0 || mixture.n_active_groups > mixture.n_groups)
        reader.fail(fmt::format("{} of {} groups of {} experts cannot be chosen",
                                mixture.n_active_groups, mixture.n_groups, mixture.n_experts));
    const std::int64_t left = mixture.n_active_groups * (mixture.n_experts / mixture.n_groups);
    if (mixture.n_active > left)
        reader.fail(fmt::format("{} {} and {} {} leave {} experts to choose {} from",
                                reader.name(Setting::expert_groups), mixture.n_groups,
                                reader.name(Setting::active_groups), mixture.n_active_groups, left,
                                mixture.n_active));
    mixture.activation = activation;
    return mixture;
}

bool holds(const Json* list, std::int64_t value) {
    return list != nullptr && std::find(list->begin(), list->end(), Json(value)) != list->end();
}

/// Lists of numbers of blocks, null where there is none.
const Json* block_numbers(const ConfigReader& reader, Setting setting) {
    const Json* list = reader.find(setting);
    if (list == nullptr) return nullptr;
    const auto number = [](const Json& entry) { return entry.is_number_integer(); };
    if (!list->is_array() || !std::all_of(list->begin(), list->end(), number))
        reader.fail(
            fmt::format("{} is {}, not a list of layers", reader.name(setting), shown(*list)));
    return list;
}

/// The block has a mixture, by every setting that says so.
std::vector<bool> sparse_blocks(const ConfigReader& reader, std::int64_t n) {
    const std::int64_t dense = reader.integer_or(Setting::first_dense_layers, 0, 0, 4096);
    const std::int64_t step = reader.integer_or(Setting::sparse_step, 1, 1, 4096);
    const std::int64_t first = reader.integer_or(Setting::first_sparse_layer, 0, 0, 4096);
    std::int64_t last = reader.integer_or(Setting::last_sparse_layer, -1, -1, 4096);
    if (last < 0) last = n - 1;
    const Json* plain = block_numbers(reader, Setting::dense_layers);
    const Json* sparse = block_numbers(reader, Setting::sparse_layers);
    const Json* types = reader.list(Setting::mlp_types, n);
    std::vector<bool> blocks;
    for (std::int64_t i = 0; i < n; ++i) {
        bool is = i >= dense && i >= first && i <= last && !holds(plain, i);
        is = is && (sparse != nullptr ? holds(sparse, i) : (i + 1) % step == 0);
        if (types != nullptr) {
            const Json& type = (*types)[static_cast<std::size_t>(i)];
            if (type != "dense" && type != "sparse")
                reader.fail_unsupported(reader.name(Setting::mlp_types), type, "dense or sparse");
            is = type == "sparse";
        }
        blocks.push_back(is);
    }
    return blocks;
}

}  // namespace

std::vector<FeedForwardConfig> read_feed_forward(const ConfigReader& reader,
                                                 std::int64_t n_layers) {
    const Activation activation = read_activation(reader);
    const std::int64_t width =
        reader.name(Setting::intermediate_size).empty()
            ? 0
            : adjusted_width(reader, reader.integer(Setting::intermediate_size, 1, widest_layer));
    const MixtureConfig mixture = read_mixture(reader, width, activation);
    if (n_layers * mixture.n_experts > most_experts)
        reader.fail(fmt::format("{} layers of {} experts are absurd", n_layers, mixture.n_experts));
    MlpConfig mlp;
    // A family whose blocks all have mixtures may have no width of a plain MLP.
    mlp.width = reader.integer_or(Setting::dense_width, width, 1, widest_layer);
    mlp.activation = activation;
    mlp.gated = !reader.family().features.plain_mlp;
    const std::vector<bool> sparse = sparse_blocks(reader, n_layers);
    const bool beside = reader.find(Setting::mixture_on) != nullptr;
    std::vector<FeedForwardConfig> blocks;
    for (std::int64_t i = 0; i < n_layers; ++i) {
        FeedForwardConfig block;
        const bool mixed = mixture.n_experts > 0 && sparse[static_cast<std::size_t>(i)];
        if (mixed) block.mixture = mixture;
        if (!mixed || beside) block.mlp = mlp;
        blocks.push_back(block);
    }
    return blocks;
}

}  // namespace vq
