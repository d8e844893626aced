// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_rope.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/error.h"
#include "io/families/model_config.h"
#include "io/files/ggml_dequant.h"

namespace vq {
namespace {

using Scaling = RopeConfig::Scaling;

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

/// Finds the llama3 scaling that gives exactly these factors: the released models have frequency
/// factors 1 and 4, the slowest pair shows the factor, the original context is a power of two.
RopeConfig scaling_of_factors(const GgufFile& file, const GgufTensor& tensor, double theta,
                              std::int64_t head_dim) {
    const std::int64_t pairs = tensor.count;
    if (pairs != head_dim / 2)
        throw Error(fmt::format("tensor has {} factors for a head of {}", pairs, head_dim),
                    file.path() + ": " + tensor.name, "convert the model again");
    std::vector<float> factors(static_cast<std::size_t>(pairs));
    ggml_dequantize(tensor.type, file.data(tensor).data(), pairs, factors.data());
    const auto matches = [&](const RopeConfig& rope) {
        for (std::int64_t i = 0; i < pairs; ++i) {
            const double factor = factors[static_cast<std::size_t>(i)];
            // The factors were computed in fp32 from fp32 frequencies.
            if (!(std::abs(factor / llama3_factor(rope, i, pairs) - 1) < 1e-4)) return false;
        }
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
    throw Error("frequency factors are not those of llama3 rope scaling",
                file.path() + ": " + tensor.name, "start from the checkpoint's safetensors");
}

}  // namespace

Json gguf_rope_scaling(const GgufFile& file, const std::string& architecture, double theta,
                       std::int64_t head_dim) {
    const std::string key = architecture + ".rope.scaling.type";
    // A factor alone means linear scaling.
    const std::string type = file.get_string(key).value_or("linear");
    auto factor = file.get_float(architecture + ".rope.scaling.factor");
    if (!factor) factor = file.get_float(architecture + ".rope.scale_linear");
    const auto refuse = [&](const std::string& what) {
        throw Error(what + ", which is not supported", file.path() + ": " + key,
                    "use a model with plain, linear or llama3 rotary positions");
    };
    if (type != "none" && type != "linear" && !type.empty())
        refuse("rope scaling \"" + type.substr(0, 60) + "\"");
    const GgufTensor* factors = file.find_tensor(rope_factors_tensor);
    if (type != "none" && factor.value_or(1.0) != 1.0) {
        if (factors != nullptr) refuse("linear scaling together with rope_freqs.weight");
        return {{"rope_type", "linear"}, {"factor", *factor}};
    }
    if (factors == nullptr) return nullptr;
    const RopeConfig rope = scaling_of_factors(file, *factors, theta, head_dim);
    if (rope.scaling == Scaling::none) return nullptr;
    return {{"rope_type", "llama3"},
            {"factor", rope.factor},
            {"low_freq_factor", rope.low_freq_factor},
            {"high_freq_factor", rope.high_freq_factor},
            {"original_max_position_embeddings", rope.original_max_position}};
}

}  // namespace vq
