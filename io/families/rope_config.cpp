// SPDX-License-Identifier: Apache-2.0
#include "io/families/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace vq {
namespace {

using Scaling = RopeConfig::Scaling;

constexpr const char* original_key = "original_max_position_embeddings";
constexpr const char* usable =
    "use a model with plain, linear, dynamic, llama3, yarn, longrope or "
    "proportional rotary positions";

/// One of the two objects that say how positions turn, or the part of it for a type of layer.
class RopeObject {
public:
    RopeObject(const ConfigReader& reader, Setting setting, bool windowed)
        : reader_(reader), name_(reader.name(setting)), json_(reader.find(setting)) {
        if (json_ == nullptr) return;
        if (!json_->is_object()) reader.fail(name_ + " is not an object");
        if (!reader.family().features.rope_by_layer_type) return;
        const char* type = windowed ? "sliding_attention" : "full_attention";
        const char* other = windowed ? "full_attention" : "sliding_attention";
        if (find_value(*json_, type) == nullptr && find_value(*json_, other) != nullptr)
            reader.fail(path(type) + " is missing");
        if (const Json* part = find_value(*json_, type)) {
            for (const auto& [key, value] : json_->items())
                if (key != "sliding_attention" && key != "full_attention")
                    reader.fail(fmt::format("{} is {} beside the types of layers", path(key),
                                            shown(value)));
            json_ = part;
            name_ += std::string(".") + type;
            by_type_ = true;
            if (!json_->is_object()) reader.fail(name_ + " is not an object");
        }
    }

    bool says_something() const { return json_ != nullptr && !json_->empty(); }
    bool by_type() const { return by_type_; }
    const Json* find(const char* key) const {
        return json_ == nullptr ? nullptr : find_value(*json_, key);
    }
    std::string path(std::string_view key) const { return name_ + "." + std::string(key); }

    std::string text(const char* key) const {
        return text_of(find(key), path(key), reader_.where());
    }
    double positive(const char* key) const {
        const Json* value = find(key);
        if (value == nullptr) reader_.fail(path(key) + " is missing");
        return positive_number(*value, path(key), reader_.where());
    }
    double positive_or(const char* key, double fallback) const {
        return find(key) == nullptr ? fallback : positive(key);
    }
    std::vector<double> factors(const char* key, std::int64_t pairs) const {
        const Json* list = find(key);
        if (list == nullptr) reader_.fail(path(key) + " is missing");
        if (!list->is_array() || static_cast<std::int64_t>(list->size()) != pairs)
            reader_.fail(fmt::format("{} is not a list of {} factors", path(key), pairs));
        std::vector<double> values;
        for (const Json& value : *list)
            values.push_back(positive_number(value, path(key), reader_.where()));
        return values;
    }
    /// Every key is one that some scaling reads, or changes nothing.
    void check_keys() const {
        static constexpr std::array<std::string_view, 18> known = {
            "rope_type",
            "type",
            "rope_theta",
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "finetuned",
            "original_max_position_embeddings",
            "partial_rotary_factor",
            "beta_fast",
            "beta_slow",
            "truncate",
            "attention_factor",
            "mscale",
            "mscale_all_dim",
            "short_factor",
            "long_factor",
            "alpha"};
        const auto& ignored = reader_.family().ignored_rope_keys;
        const bool grows = reader_.family().features.growing_queries;
        for (const auto& [key, value] : json_->items()) {
            if (value.is_null() || (grows && key == "llama_4_scaling_beta") ||
                std::find(known.begin(), known.end(), key) != known.end() ||
                std::find(ignored.begin(), ignored.end(), key) != ignored.end())
                continue;
            throw Error(fmt::format("{} is {}, and what that means is not known",
                                    path(key.substr(0, 60)), shown(value)),
                        reader_.where(), usable);
        }
    }

private:
    const ConfigReader& reader_;
    std::string name_;
    const Json* json_;
    bool by_type_ = false;
};

std::int64_t positions(const ConfigReader& reader, double value) {
    if (value > 1e12 || value != std::floor(value))
        reader.fail(std::string(original_key) + " is not a number of positions");
    return static_cast<std::int64_t>(value);
}

/// The context that the model was first trained on, which configurations give inside the scaling,
/// beside it, or in both places. `fallback` where neither does; 0: it must stand there.
std::int64_t original_context(const ConfigReader& reader, const RopeObject& rope,
                              std::int64_t fallback) {
    const Json* inside = rope.find(original_key);
    const Json* outside = reader.find(Setting::original_max_position);
    if (outside != nullptr && inside != nullptr && *outside != *inside)
        reader.fail(fmt::format("{} is {} but {} is {}", rope.path(original_key), shown(*inside),
                                reader.name(Setting::original_max_position), shown(*outside)));
    if (outside != nullptr)
        return positions(reader, reader.positive(Setting::original_max_position));
    if (inside == nullptr && fallback > 0) return fallback;
    return positions(reader, rope.positive(original_key));
}

/// 0.1 m ln(factor) + 1, as yarn's authors scale scores.
double yarn_scale(double factor, double m) {
    return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
}

void read_llama3(const ConfigReader& reader, const RopeObject& object, RopeConfig& rope) {
    rope.low_freq_factor = object.positive("low_freq_factor");
    rope.high_freq_factor = object.positive("high_freq_factor");
    if (rope.high_freq_factor <= rope.low_freq_factor)
        reader.fail("high_freq_factor is not above low_freq_factor");
    rope.original_max_position = original_context(reader, object, 0);
}

void read_yarn(const ConfigReader& reader, const RopeObject& object, RopeConfig& rope) {
    rope.beta_fast = object.positive_or("beta_fast", 32);
    rope.beta_slow = object.positive_or("beta_slow", 1);
    rope.original_max_position = original_context(reader, object, rope.max_position);
    if (const Json* truncate = object.find("truncate")) {
        if (!truncate->is_boolean())
            reader.fail(fmt::format("{} is {}, not true or false", object.path("truncate"),
                                    shown(*truncate)));
        rope.truncate = truncate->get<bool>();
    }
    const bool scaled =
        object.find("mscale") != nullptr && object.find("mscale_all_dim") != nullptr;
    const double own = scaled ? yarn_scale(rope.factor, object.positive("mscale")) /
                                    yarn_scale(rope.factor, object.positive("mscale_all_dim"))
                              : yarn_scale(rope.factor, 1);
    rope.attention_factor = object.positive_or("attention_factor", own);
}

void read_longrope(const ConfigReader& reader, const RopeObject& object, RopeConfig& rope) {
    rope.original_max_position = original_context(reader, object, rope.max_position);
    const auto original = static_cast<double>(rope.original_max_position);
    rope.factor = object.positive_or("factor", static_cast<double>(rope.max_position) / original);
    rope.short_factor = object.factors("short_factor", rope.dims / 2);
    rope.long_factor = object.factors("long_factor", rope.dims / 2);
    const double own =
        rope.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(rope.factor) / std::log(original));
    rope.attention_factor = object.positive_or("attention_factor", own);
    if (rope.short_factor != rope.long_factor) return;
    // Nothing depends on the length then.
    rope.scaling = Scaling::none;
    rope.divisors = std::exchange(rope.short_factor, {});
    rope.long_factor.clear();
}

void read_scaling(const ConfigReader& reader, const RopeObject& object, RopeConfig& rope) {
    std::string type = object.text("rope_type");
    if (type.empty()) type = object.text("type");
    object.check_keys();
    if (type.empty() && object.find("factor") != nullptr)
        reader.fail(object.path("rope_type") + " is missing");
    if (object.find("alpha") != nullptr) {
        // Hunyuan: theta grows once and for all.
        if (type != "dynamic" && !type.empty() && type != "default")
            reader.fail_unsupported(object.path("alpha"), *object.find("alpha"), "type dynamic");
        const auto dims = static_cast<double>(rope.dims);
        rope.theta *= std::pow(object.positive("alpha"), dims / (dims - 2));
        return;
    }
    if (type.empty() || type == "default") return;
    if (type == "longrope" || type == "su") {
        rope.scaling = Scaling::longrope;
        return read_longrope(reader, object, rope);
    }
    if (type == "proportional") {
        rope.scaling = Scaling::proportional;
        rope.factor = object.positive_or("factor", 1);
        return;
    }
    if (type != "linear" && type != "llama3" && type != "yarn" && type != "dynamic")
        throw Error("rope type \"" + type.substr(0, 60) + "\" is not supported", reader.where(),
                    usable);
    rope.factor = object.positive("factor");
    if (type == "linear") rope.scaling = Scaling::linear;
    if (type == "dynamic") rope.scaling = Scaling::dynamic;
    if (type == "llama3") {
        rope.scaling = Scaling::llama3;
        read_llama3(reader, object, rope);
    }
    if (type == "yarn") {
        rope.scaling = Scaling::yarn;
        read_yarn(reader, object, rope);
    }
}

/// Of a head, those dimensions that turn.
std::int64_t turning_dims(const ConfigReader& reader, const RopeObject& object,
                          std::int64_t head_dim) {
    std::int64_t dims = head_dim;
    const auto share_of_head = [&](double share) {
        // Past the head in any case; larger numbers need not fit an integer.
        return static_cast<std::int64_t>(static_cast<double>(head_dim) * std::min(share, 2.0));
    };
    if (object.find("partial_rotary_factor") != nullptr)
        dims = share_of_head(object.positive("partial_rotary_factor"));
    else if (reader.find(Setting::rotary_dim) != nullptr)
        dims = reader.integer(Setting::rotary_dim, 2, 65536);
    else if (reader.find(Setting::partial_rotary) != nullptr)
        dims = share_of_head(reader.positive(Setting::partial_rotary));
    if (dims > head_dim || dims < 2 || dims % 2 != 0)
        reader.fail(
            fmt::format("{} of a head's {} dimensions cannot turn in pairs", dims, head_dim));
    return dims;
}

}  // namespace

RopeReading read_rope(const ConfigReader& reader, std::int64_t head_dim, bool windowed) {
    const Family& family = reader.family();
    RopeReading reading;
    RopeConfig& rope = reading.rope;
    rope.head_dim = head_dim;
    rope.interleaved = reader.find(Setting::rope_interleave) != nullptr
                           ? reader.flag(Setting::rope_interleave)
                           : family.features.rope_interleaved;
    rope.max_position = reader.integer(Setting::max_position, 1, std::int64_t{1} << 40);
    rope.theta = reader.positive(Setting::rope_theta);
    // rope_scaling replaces rope_parameters whole.
    const bool scaled = RopeObject(reader, Setting::rope_scaling, windowed).says_something();
    const RopeObject object(reader, scaled ? Setting::rope_scaling : Setting::rope_parameters,
                            windowed);
    // Where types of layers turn in different ways and one object is all that is said, it is about
    // the layers without windows.
    const bool local = windowed && family.features.rope_by_layer_type && !object.by_type();
    if (local && reader.find(Setting::local_rope_theta) != nullptr)
        rope.theta = reader.positive(Setting::local_rope_theta);
    rope.dims = turning_dims(reader, object, head_dim);
    if (!object.says_something()) return reading;
    if (local) {
        if (reader.find(Setting::local_rope_theta) == nullptr)
            rope.theta = object.positive_or("rope_theta", rope.theta);
        return reading;
    }
    const Json* own_theta = object.find("rope_theta");
    if (!windowed && object.by_type() && own_theta != nullptr && reader.says(Setting::rope_theta) &&
        *own_theta != *reader.find(Setting::rope_theta))
        reader.fail(fmt::format("{} is {} but {} is {}", reader.name(Setting::rope_theta),
                                shown(*reader.find(Setting::rope_theta)), object.path("rope_theta"),
                                shown(*own_theta)));
    if (object.by_type() && own_theta == nullptr && !reader.says(Setting::rope_theta))
        reader.fail(object.path("rope_theta") + " is missing");
    rope.theta = object.positive_or("rope_theta", rope.theta);
    read_scaling(reader, object, rope);
    // transformers turns whole heads there whatever this says.
    const Json* share = object.by_type() ? object.find("partial_rotary_factor") : nullptr;
    if (share != nullptr && rope.dims != head_dim && rope.scaling != Scaling::proportional)
        reader.fail_unsupported(object.path("partial_rotary_factor"), *share,
                                "rope_type proportional");
    if (!std::isfinite(rope.theta) || !std::isfinite(rope.attention_factor))
        reader.fail("rotary positions come to numbers that are not finite");
    if (rope.scaling == Scaling::yarn && family.features.latent &&
        object.find("mscale_all_dim") != nullptr) {
        const double m = yarn_scale(rope.factor, object.positive("mscale_all_dim"));
        reading.score_scale = m * m;
    }
    if (family.features.growing_queries && object.find("llama_4_scaling_beta") != nullptr) {
        reading.query_growth = object.positive("llama_4_scaling_beta");
        reading.query_period = static_cast<double>(original_context(reader, object, 0));
    }
    return reading;
}

}  // namespace vq
