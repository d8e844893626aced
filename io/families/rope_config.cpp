// SPDX-License-Identifier: Apache-2.0
#include "io/families/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "base/error.h"

namespace vq {
namespace {

/// One of the two objects that say how positions turn.
class RopeObject {
public:
    RopeObject(const ConfigReader& reader, Setting setting)
        : reader_(reader), name_(reader.name(setting)), json_(reader.find(setting)) {
        if (json_ != nullptr && !json_->is_object()) reader.fail(name_ + " is not an object");
    }

    bool says_something() const { return json_ != nullptr && !json_->empty(); }
    const Json* find(const char* key) const { return find_value(*json_, key); }
    std::string path(const char* key) const { return name_ + "." + key; }

    std::string text(const char* key) const {
        return text_of(find(key), path(key), reader_.where());
    }
    double positive(const char* key) const {
        const Json* value = find(key);
        if (value == nullptr) reader_.fail(path(key) + " is missing");
        return positive_number(*value, path(key), reader_.where());
    }
    /// Every key is one that is read here, or changes nothing.
    void check_keys() const {
        static constexpr std::array<std::string_view, 9> known = {
            "rope_type",
            "type",
            "rope_theta",
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "finetuned",
            "original_max_position_embeddings",
            "partial_rotary_factor"};
        for (const auto& [key, value] : json_->items())
            if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end())
                throw Error(fmt::format("{} is {}, and what that means is not known",
                                        path(key.substr(0, 60).c_str()), shown(value)),
                            reader_.where(), "use a model with plain, linear or llama3 positions");
        const Json* share = find("partial_rotary_factor");
        if (share != nullptr && *share != 1)
            reader_.fail_unsupported(path("partial_rotary_factor"), *share, "1.0");
    }

private:
    const ConfigReader& reader_;
    std::string name_;
    const Json* json_;
};

/// The context that the model was first trained on, which configurations give inside the scaling,
/// beside it, or in both places.
std::int64_t original_context(const ConfigReader& reader, const RopeObject& rope) {
    constexpr const char* key = "original_max_position_embeddings";
    const Json* outside = reader.find(Setting::original_max_position);
    if (outside != nullptr && rope.find(key) != nullptr && *outside != *rope.find(key))
        reader.fail(fmt::format("{} is {} but {} is {}", rope.path(key), shown(*rope.find(key)),
                                reader.name(Setting::original_max_position), shown(*outside)));
    const double original =
        outside != nullptr ? reader.positive(Setting::original_max_position) : rope.positive(key);
    if (original > 1e12 || original != std::floor(original))
        reader.fail(std::string(key) + " is not a number of positions");
    return static_cast<std::int64_t>(original);
}

}  // namespace

RopeConfig read_rope(const ConfigReader& reader, std::int64_t dims) {
    RopeConfig config;
    config.dims = dims;
    config.theta = reader.positive(Setting::rope_theta);
    // rope_scaling replaces rope_parameters whole.
    const bool scaled = RopeObject(reader, Setting::rope_scaling).says_something();
    const RopeObject rope(reader, scaled ? Setting::rope_scaling : Setting::rope_parameters);
    if (!rope.says_something()) return config;
    if (rope.find("rope_theta") != nullptr) config.theta = rope.positive("rope_theta");

    std::string type = rope.text("rope_type");
    if (type.empty()) type = rope.text("type");
    if (!type.empty() && type != "default" && type != "linear" && type != "llama3")
        throw Error("rope type \"" + type.substr(0, 60) + "\" is not supported", reader.where(),
                    "use a model with plain, linear or llama3 rotary positions");
    rope.check_keys();
    if (type.empty() && rope.find("factor") != nullptr)
        reader.fail(rope.path("rope_type") + " is missing");
    if (type.empty() || type == "default") return config;
    config.scaling = RopeConfig::Scaling::linear;
    config.factor = rope.positive("factor");
    if (type == "linear") return config;
    config.scaling = RopeConfig::Scaling::llama3;
    config.low_freq_factor = rope.positive("low_freq_factor");
    config.high_freq_factor = rope.positive("high_freq_factor");
    if (config.high_freq_factor <= config.low_freq_factor)
        reader.fail("high_freq_factor is not above low_freq_factor");
    config.original_max_position = original_context(reader, rope);
    return config;
}

}  // namespace vq
