// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "base/error.h"
#include "io/gguf/ggml_dequant.h"

namespace vq {
namespace {

using Scaling = RopeConfig::Scaling;

constexpr const char* plain_factors = "rope_freqs.weight";
constexpr const char* short_factors = "rope_factors_short.weight";
constexpr const char* long_factors = "rope_factors_long.weight";

/// What the Llama 3.1 configuration makes of the frequency of rotary pair i of `pairs`.
double llama3_factor(const RopeConfig& rope, std::int64_t i, std::int64_t pairs) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(rope.theta, static_cast<double>(i) / static_cast<double>(pairs));
    const auto original = static_cast<double>(rope.original_max_position);
    if (wavelength < original / rope.high_freq_factor) return 1;
    if (wavelength > original / rope.low_freq_factor) return rope.factor;
    const double smooth = (original / wavelength - rope.low_freq_factor) /
                          (rope.high_freq_factor - rope.low_freq_factor);
    return 1 / ((1 - smooth) / rope.factor + smooth);
}

std::vector<double> read_factors(const GgufFile& file, const GgufTensor& tensor,
                                 std::int64_t pairs) {
    if (tensor.count != pairs)
        throw Error(fmt::format("tensor has {} factors for {} pairs", tensor.count, pairs),
                    file.path() + ": " + tensor.name, "convert the model again");
    std::vector<float> stored(static_cast<std::size_t>(pairs));
    ggml_dequantize(tensor.type, file.data(tensor).data(), pairs, stored.data());
    std::vector<double> factors(stored.begin(), stored.end());
    for (const double factor : factors)
        if (!(factor > 0) || !std::isfinite(factor))
            throw Error(fmt::format("a frequency factor is {}", factor),
                        file.path() + ": " + tensor.name, "convert the model again");
    return factors;
}

/// The llama3 scaling that gives exactly these factors, none for factors of 1, or nothing: the
/// released models have frequency factors 1 and 4, the slowest pair shows the factor, the original
/// context is a power of two.
std::optional<RopeConfig> scaling_of_factors(const std::vector<double>& factors, double theta) {
    const auto pairs = static_cast<std::int64_t>(factors.size());
    const auto matches = [&](const RopeConfig& rope) {
        for (std::int64_t i = 0; i < pairs; ++i)
            // The factors were computed in fp32 from fp32 frequencies.
            if (std::abs(factors[static_cast<std::size_t>(i)] / llama3_factor(rope, i, pairs) -
                         1) >= 1e-4)
                return false;
        return true;
    };
    RopeConfig rope;
    rope.theta = theta;
    rope.factor = factors.back();
    if (rope.factor == 1.0 && matches(rope)) return rope;
    if (rope.factor > 1.0 && rope.factor < 1e6) {
        rope.scaling = Scaling::llama3;
        for (int power = 10; power <= 20; ++power) {
            rope.original_max_position = std::int64_t{1} << power;
            if (matches(rope)) return rope;
        }
    }
    return std::nullopt;
}

Json scaling_by_factors(const GgufFile& file, const GgufTensor& tensor, double theta,
                        std::int64_t dims) {
    const std::vector<double> factors = read_factors(file, tensor, dims / 2);
    const std::optional<RopeConfig> rope = scaling_of_factors(factors, theta);
    if (!rope)
        return {{"rope_type", "longrope"},
                {"factor", 1.0},
                {"attention_factor", 1.0},
                {"short_factor", factors},
                {"long_factor", factors}};
    if (rope->scaling == Scaling::none) return nullptr;
    return {{"rope_type", "llama3"},
            {"factor", rope->factor},
            {"low_freq_factor", rope->low_freq_factor},
            {"high_freq_factor", rope->high_freq_factor},
            {"original_max_position_embeddings", rope->original_max_position}};
}

Json yarn_scaling(const GgufMetadata& data, double factor) {
    Json json = {{"rope_type", "yarn"}, {"factor", factor}};
    if (const auto all = data.real("rope.scaling.attn_factor")) json["attention_factor"] = *all;
    if (const auto original = data.integer("rope.scaling.original_context_length"))
        json["original_max_position_embeddings"] = *original;
    if (const auto fast = data.real("rope.scaling.yarn_beta_fast")) json["beta_fast"] = *fast;
    if (const auto slow = data.real("rope.scaling.yarn_beta_slow")) json["beta_slow"] = *slow;
    if (data.family().gguf.exact_yarn) json["truncate"] = false;
    // Files hold a tenth of it.
    if (const auto m = data.real("rope.scaling.yarn_log_multiplier"); m && *m > 0) {
        json["mscale"] = 10 * *m;
        json["mscale_all_dim"] = 10 * *m;
    }
    const auto growth = data.real("attention.temperature_scale");
    if (growth && data.family().features.growing_queries) json["llama_4_scaling_beta"] = *growth;
    return json;
}

/// The share of pairs that turn, where the others have divisors so large that they do not.
double turning_share(const GgufFile& file, const std::vector<double>& factors) {
    const auto still = [](double factor) { return factor >= 1e20; };
    const auto end = std::find_if(factors.begin(), factors.end(), still);
    const bool plain = std::all_of(factors.begin(), end, [](double f) { return f == 1.0; });
    if (!plain || !std::all_of(end, factors.end(), still) || end == factors.begin())
        throw Error("frequency factors that neither keep nor stop a pair are not supported",
                    file.path() + ": " + plain_factors, "convert the model again");
    return static_cast<double>(end - factors.begin()) / static_cast<double>(factors.size());
}

}  // namespace

bool is_rope_factors(std::string_view name) {
    return name == plain_factors || name == short_factors || name == long_factors;
}

Json gguf_rope_by_type(const GgufMetadata& data, double theta, double window_theta,
                       std::int64_t dims) {
    for (const char* name : {"rope.scaling.factor", "rope.scale_linear"})
        if (data.real(name).value_or(1) != 1) data.fail(data.key(name), "scaled positions");
    Json full = {{"rope_type", "default"}, {"rope_theta", theta}};
    if (const GgufTensor* factors = data.file().find_tensor(plain_factors)) {
        full["rope_type"] = "proportional";
        full["partial_rotary_factor"] =
            turning_share(data.file(), read_factors(data.file(), *factors, dims / 2));
    }
    return {{"full_attention", full},
            {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", window_theta}}}};
}

Json gguf_rope_scaling(const GgufMetadata& data, double theta, std::int64_t dims) {
    const GgufFile& file = data.file();
    const std::string key = data.key("rope.scaling.type");
    // A factor alone means linear scaling.
    const std::string type = file.get_string(key).value_or("linear");
    auto factor = data.real("rope.scaling.factor");
    if (!factor) factor = data.real("rope.scale_linear");
    const auto refuse = [&](const std::string& what) {
        throw Error(what + ", which is not supported", file.path() + ": " + key,
                    "use a model with plain, linear, yarn, llama3 or longrope positions");
    };
    const GgufTensor* few = file.find_tensor(short_factors);
    const GgufTensor* many = file.find_tensor(long_factors);
    if (few != nullptr && many != nullptr) {
        Json json = {{"rope_type", "longrope"},
                     {"short_factor", read_factors(file, *few, dims / 2)},
                     {"long_factor", read_factors(file, *many, dims / 2)}};
        if (const auto attention = data.real("rope.scaling.attn_factor"))
            json["attention_factor"] = *attention;
        return json;
    }
    if ((few != nullptr) != (many != nullptr))
        refuse(std::string(few != nullptr ? short_factors : long_factors) + " without the other");
    const bool yarn = type == "yarn" && factor.value_or(1.0) != 1.0;
    if (!yarn && data.real("rope.scaling.attn_factor").value_or(1.0) != 1.0)
        refuse("a factor of attention without yarn or longrope");
    if (!yarn && data.real("attention.temperature_scale").value_or(0) != 0)
        refuse("queries that grow with their position without yarn");
    if (type != "none" && type != "linear" && type != "yarn" && !type.empty())
        refuse("rope scaling \"" + type.substr(0, 60) + "\"");
    const GgufTensor* factors = file.find_tensor(plain_factors);
    if (type != "none" && factor.value_or(1.0) != 1.0) {
        if (factors != nullptr) refuse(type + " scaling together with rope_freqs.weight");
        if (type == "yarn") return yarn_scaling(data, *factor);
        return {{"rope_type", "linear"}, {"factor", *factor}};
    }
    return factors == nullptr ? Json() : scaling_by_factors(file, *factors, theta, dims);
}

}  // namespace vq
