// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace vq {
namespace {

/// Metadata behind "<architecture>." that is read for every family, beside the keys of its row.
constexpr std::array<std::string_view, 25> read_keys = {"rope.scaling.type",
                                                        "rope.scaling.factor",
                                                        "rope.scale_linear",
                                                        "rope.scaling.original_context_length",
                                                        "rope.scaling.attn_factor",
                                                        "rope.scaling.yarn_log_multiplier",
                                                        "rope.scaling.yarn_beta_fast",
                                                        "rope.scaling.yarn_beta_slow",
                                                        "rope.scaling.finetuned",
                                                        "rope.dimension_count",
                                                        "attention.key_length",
                                                        "attention.value_length",
                                                        "attention.key_length_mla",
                                                        "attention.value_length_mla",
                                                        "attention.temperature_scale",
                                                        "attention.sliding_window_pattern",
                                                        "attention.recurrent_layers",
                                                        "expert_count",
                                                        "expert_gating_func",
                                                        "expert_weights_norm",
                                                        "expert_shared_feed_forward_length",
                                                        "expert_shared_count",
                                                        "expert_feed_forward_length",
                                                        "nextn_predict_layers",
                                                        "ssm.inner_size"};

/// That changes no result: how the file was made, positions of pictures, what tensors or other keys
/// say again.
constexpr std::array<std::string_view, 14> harmless_keys = {
    "tensor_data_layout",       "expert_used_count",         "vocab_size",
    "attention.causal",         "rope.dimension_sections",   "leading_dense_block_count",
    "feed_forward_length",      "interleave_moe_layer_step", "attention.temperature_length",
    "attention.max_alibi_bias", "rope.dimension_count_swa",  "rope.freq_base_swa",
    "expert_group_count",       "expert_group_used_count"};
// Values of some: check_values().

std::string as_text(const GgufValue& value) {
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

/// Whether expert_gating_func (1: softmax, 2: sigmoid, 3: softmax of the chosen) says what a family
/// does. Weights of a softmax that are made to add up to 1 are those of the chosen alone.
bool fits_gating(std::int64_t gating, MixtureConfig::Weight weight) {
    switch (weight) {
        case MixtureConfig::Weight::softmax: return gating == 1;
        case MixtureConfig::Weight::sigmoid:
        case MixtureConfig::Weight::sigmoid_of_input: return gating == 2;
        case MixtureConfig::Weight::softmax_of_chosen: return gating == 1 || gating == 3;
    }
    return false;
}

}  // namespace

std::string gguf_weight_name(const std::string& name) {
    const bool whole =
        name.ends_with(".bias") || name.ends_with(".scale") || name.ends_with(".ssm_a");
    return whole ? name : name + ".weight";
}

const Family& gguf_family(const GgufFile& file, std::span<const Family> table) {
    const std::string name = file.require_string("general.architecture");
    const std::int64_t experts = file.get_int(name + ".expert_count").value_or(0);
    // Files that do not say how experts are weighed are of before there was another way than a
    // softmax, or of a converter that left it out: what is chosen with a bias is a sigmoid.
    const auto said = file.get_int(name + ".expert_gating_func");
    const bool biased =
        std::any_of(file.tensors().begin(), file.tensors().end(), [](const GgufTensor& tensor) {
            return tensor.name.find(".exp_probs_b") != std::string::npos;
        });
    const std::int64_t gating = said.value_or(biased ? 2 : 1);
    const bool windows = file.get_int(name + ".attention.sliding_window").value_or(0) > 0;
    bool known = false;
    const Family* unsaid = nullptr;
    for (const Family& family : table) {
        if (name != family.gguf.architecture || name.empty()) continue;
        known = true;
        const bool either = find_key(family, Setting::mixture_on) != nullptr;
        if (!either && (find_key(family, Setting::experts) != nullptr) != (experts > 0)) continue;
        if (windows && find_key(family, Setting::sliding_window) == nullptr) continue;
        if (experts == 0 || fits_gating(gating, family.features.routing)) return family;
        if (!said && unsaid == nullptr) unsaid = &family;
    }
    if (unsaid != nullptr) return *unsaid;  // the only one of that architecture
    if (known)
        throw Error(fmt::format("architecture \"{}\" with {} experts{} is not supported",
                                name.substr(0, 60), experts, windows ? " and windows" : ""),
                    file.path(), "start from the checkpoint's safetensors, or use another model");
    throw Error("architecture \"" + name.substr(0, 60) + "\" is not supported", file.path(),
                supported_architectures(table));
}

std::int64_t gguf_further_blocks(const GgufFile& file) {
    const std::string key = file.require_string("general.architecture") + ".nextn_predict_layers";
    const std::int64_t count = file.get_int(key).value_or(0);
    if (count < 0 || count > 64)
        throw Error(fmt::format("a count of {} is absurd", count), file.path() + ": " + key,
                    "convert the model again");
    return count;
}

GgufMetadata::GgufMetadata(const GgufFile& file, const Family& family)
    : file_(file), family_(family), prefix_(std::string(family.gguf.architecture) + ".") {
    check_keys();
    check_values();
    const ConfigKey* blocks = find_key(family, Setting::layers);
    VQ_ASSERT(blocks != nullptr && blocks->gguf != nullptr);
    n_layers_ = required(blocks->gguf) - gguf_further_blocks(file);
    if (n_layers_ < 1 || n_layers_ > 4096)
        fail(key(blocks->gguf), fmt::format("a count of {}", n_layers_));
}

std::optional<std::int64_t> GgufMetadata::integer(std::string_view name) const {
    const std::string key = this->key(name);
    const GgufValue* value = file_.find(key);
    if (value == nullptr || value->type != GgufType::array) return file_.get_int(key);
    const auto list = *file_.get_ints(key);
    for (const std::int64_t entry : list)
        if (entry != list.front()) fail(key, "differs from layer to layer");
    return list.empty() ? std::nullopt : std::optional(list.front());
}

std::int64_t GgufMetadata::required(std::string_view name) const {
    if (const auto value = integer(name)) return *value;
    return file_.require_int(key(name));
}

std::vector<bool> GgufMetadata::flags(std::string_view name) const {
    const std::string key = this->key(name);
    const GgufValue* value = file_.find(key);
    if (value != nullptr && value->type == GgufType::array) {
        const GgufArray& array = std::get<GgufArray>(value->value);
        if (array.type == GgufType::boolean) return {array.bytes.begin(), array.bytes.end()};
    }
    const auto numbers = file_.get_ints(key);
    if (!numbers) return {};
    return {numbers->begin(), numbers->end()};
}

std::vector<bool> GgufMetadata::windows() const {
    std::vector<bool> list = flags("attention.sliding_window_pattern");
    const std::int64_t nth = family_.features.window_pattern;
    for (auto l = static_cast<std::int64_t>(list.size()); l < n_layers_; ++l)
        list.push_back((l + 1) % nth != 0);
    list.resize(static_cast<std::size_t>(n_layers_));
    return list;
}

void GgufMetadata::fail(const std::string& key, const std::string& what) const {
    throw Error(what + ", which is not supported", file_.path() + ": " + key,
                "start from the checkpoint's safetensors, or use another model");
}

const GgufTensor* GgufMetadata::tensor(TensorRole role, std::int64_t layer,
                                       const char* kind) const {
    for (const TensorNames& names : family_.tensors) {
        if (names.role != role || names.gguf == nullptr) continue;
        std::string name = names.gguf;
        name = name.substr(0, name.find('|'));
        if (const auto at = name.find("{}"); at != std::string::npos)
            name.replace(at, 2, std::to_string(layer));
        return file_.find_tensor(kind == std::string_view(".weight") ? gguf_weight_name(name)
                                                                     : name + kind);
    }
    return nullptr;
}

const GgufTensor* GgufMetadata::first(TensorRole role, const char* kind) const {
    for (std::int64_t l = 0; l < n_layers_; ++l)
        if (const GgufTensor* found = tensor(role, l, kind)) return found;
    return nullptr;
}

void GgufMetadata::check_values() const {
    if (!file_.get_bool(key("attention.causal")).value_or(true))
        fail(key("attention.causal"), "attention to later tokens");
    if (real("attention.max_alibi_bias").value_or(0) != 0)
        fail(key("attention.max_alibi_bias"), "a bias by distance");
    if (const auto local = integer("rope.dimension_count_swa"))
        if (*local != (family_.gguf.rope_by_type ? integer("attention.key_length_swa")
                                                 : integer("rope.dimension_count"))
                          .value_or(integer("attention.key_length").value_or(*local)))
            fail(key("rope.dimension_count_swa"), "another part of heads that turns in windows");
    if (find_key(family_, Setting::expert_groups) == nullptr &&
        integer("expert_group_count").value_or(1) > 1)
        fail(key("expert_group_count"),
             fmt::format("experts in {} groups", *integer("expert_group_count")));
    if (!family_.features.growing_queries && real("attention.temperature_scale").value_or(0) != 0)
        fail(key("attention.temperature_scale"), "queries that grow with their position");
}

void GgufMetadata::check_keys() const {
    const auto known = [&](std::string_view name) {
        const auto in = [&](const auto& list) {
            return std::find(list.begin(), list.end(), name) != list.end();
        };
        // Its value is checked with that of keys.
        const bool by_type = family_.gguf.rope_by_type && name == "attention.value_length_swa";
        return by_type || in(read_keys) || in(harmless_keys) || in(family_.gguf.ignored_keys) ||
               std::any_of(family_.keys.begin(), family_.keys.end(),
                           [&](const ConfigKey& k) { return k.gguf != nullptr && name == k.gguf; });
    };
    for (const auto& [key, value] : file_.values()) {
        if (!key.starts_with(prefix_) || known(std::string_view(key).substr(prefix_.size())))
            continue;
        throw Error(fmt::format("{} is {}, and what that means is not known", key.substr(0, 80),
                                as_text(value)),
                    file_.path(), "start from the checkpoint's safetensors, or use another model");
    }
}

}  // namespace vq
