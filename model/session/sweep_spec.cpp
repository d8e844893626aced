// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "model/session/sweep_grid.h"
#include "vq/run/presets.h"

namespace vq {

namespace {

constexpr const char* set_prefix = "set.";
constexpr std::size_t most_points = 10'000;

/// An object of the description, whose keys are all read by name.
class Section {
public:
    Section(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
        if (!json.is_object()) throw fault("", "is no list of KEY: VALUE");
    }
    Error fault(const std::string& key, const std::string& what) const {
        return Error(key.empty() ? what : "\"" + key + "\" " + what, where_,
                     "see docs/sweeps.md for what may stand there");
    }
    void allow(const std::vector<std::string>& keys) const {
        for (const auto& [key, value] : json_.items())
            if (std::find(keys.begin(), keys.end(), key) == keys.end())
                throw fault(key, "is not known");
    }
    const Json* find(const std::string& key) const {
        const auto found = json_.find(key);
        return found == json_.end() || found->is_null() ? nullptr : &*found;
    }
    Index integer(const std::string& key, Index least, Index otherwise) const {
        const Json* value = find(key);
        if (value == nullptr) return otherwise;
        if (!value->is_number_integer() || *value < least || *value > (Index{1} << 30))
            throw fault(key, fmt::format("is not a whole number from {} on", least));
        return *value;
    }
    bool flag(const std::string& key, bool otherwise) const {
        const Json* value = find(key);
        if (value == nullptr) return otherwise;
        if (!value->is_boolean()) throw fault(key, "is neither true nor false");
        return *value;
    }
    std::string word(const std::string& key, const std::vector<std::string>& words) const {
        const Json* value = find(key);
        if (value == nullptr) return words.front();
        if (!value->is_string() || std::find(words.begin(), words.end(), *value) == words.end())
            throw fault(key, fmt::format("is not one of {}", fmt::join(words, ", ")));
        return *value;
    }
    /// One file or several.
    std::vector<std::string> files(const std::string& key) const {
        std::vector<std::string> paths;
        const Json* value = find(key);
        if (value == nullptr) return paths;
        for (const Json& path : value->is_array() ? *value : Json::array({*value})) {
            if (!path.is_string() || path.get_ref<const std::string&>().empty())
                throw fault(key, "is no file name");
            paths.push_back(path);
        }
        return paths;
    }

private:
    const Json& json_;
    std::string where_;
};

/// A value of `set` as --set takes it.
std::string setting_value(const Json& value, const Section& section, const std::string& name) {
    if (value.is_string()) return value;
    if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
    if (value.is_number_integer()) return fmt::format("{}", value.get<std::int64_t>());
    if (value.is_number()) return fmt::format("{}", value.get<double>());
    throw section.fault(name, "is no value of a setting");
}

const std::vector<std::string> axis_keys = {"model",    "method",      "bits", "seed",
                                            "hessians", "calibration", "set"};

/// {set: {a.b: 1}, bits: 2} as {set.a.b: 1, bits: 2}: every key an axis.
Json flatten(const Json& rule, const std::string& where) {
    const Section section(rule, where);
    section.allow(axis_keys);
    Json flat = Json::object();
    for (const auto& [key, value] : rule.items()) {
        if (key == "set") {
            const Section settings(value, where + ": set");
            for (const auto& [name, of] : value.items()) flat[set_prefix + name] = of;
        } else {
            flat[key] = value;
        }
    }
    return flat;
}

std::vector<Json> flatten_all(const Json& description, const std::string& key,
                              const std::string& where) {
    std::vector<Json> rules;
    const auto found = description.find(key);
    if (found == description.end() || found->is_null()) return rules;
    for (const Json& rule : found->is_array() ? *found : Json::array({*found}))
        rules.push_back(flatten(rule, where + ": " + key));
    return rules;
}

std::vector<GridAxis> grid_axes(const Json& description, const std::string& where) {
    Json listed = Json::object();
    for (const std::string& key : axis_keys)
        if (description.contains(key)) listed[key] = description[key];
    Json flat = flatten(listed, where);
    // What is the same for all runs if it is not said.
    const Json defaults = {{"method", "best"},
                           {"bits", nullptr},
                           {"seed", 0},
                           {"hessians", "quantized"},
                           {"calibration", nullptr}};
    for (const auto& [key, value] : defaults.items())
        if (!flat.contains(key)) flat[key] = value;
    if (!flat.contains("model"))
        throw Section(description, where).fault("model", "is missing: what is to be compressed");
    // The seed changes fastest and models slowest, so that neighbours share most of their work.
    std::vector<std::string> order = {"model", "calibration", "hessians", "method", "bits"};
    for (const auto& [key, value] : flat.items())
        if (key.starts_with(set_prefix)) order.push_back(key);
    order.emplace_back("seed");
    std::vector<GridAxis> axes;
    for (const std::string& key : order) {
        const Json& value = flat[key];
        GridAxis axis{key, {}};
        for (const Json& one : value.is_array() ? value : Json::array({value}))
            axis.values.push_back(one);
        if (axis.values.empty()) throw Section(description, where).fault(key, "is an empty list");
        axes.push_back(std::move(axis));
    }
    return axes;
}

CalibrationFiles parse_calibration(const Json& value, const std::string& where) {
    CalibrationFiles files;
    if (value.is_null()) return files;
    if (value.is_string()) {
        files.paths.push_back(value);
        return files;
    }
    const Section section(value, where + ": calibration");
    section.allow({"text", "chat", "tokens", "ctx"});
    files.paths = section.files("text");
    files.chats = section.files("chat");
    files.tokens = section.integer("tokens", 1, files.tokens);
    files.ctx = section.integer("ctx", 2, 0);
    return files;
}

SweepPoint parse_point(const Json& combination, const std::string& where) {
    const Section section(combination, where);
    const auto text = [&](const char* key) -> std::string {
        if (!combination[key].is_string()) throw section.fault(key, "is no word");
        return combination[key];
    };
    SweepPoint point;
    point.model = text("model");
    point.method = text("method");
    point.hessians = text("hessians");
    const Json& bits = combination["bits"];
    if (!bits.is_null()) {
        if (!bits.is_number() || bits < 0.25 || bits > 16)
            throw section.fault("bits", "is not a number from 0.25 to 16");
        point.bits = bits.get<double>();
    }
    const Json& seed = combination["seed"];
    if (!seed.is_number_integer() || seed < 0)
        throw section.fault("seed", "is not a whole number from 0 on");
    point.seed = seed;
    point.calibration = parse_calibration(combination["calibration"], where);
    if (point.hessians_from_file())
        point.calibration = {};
    else if (point.calibration.paths.empty() && point.calibration.chats.empty())
        throw section.fault("calibration", "is missing: the text to calibrate with");
    for (const auto& [key, value] : combination.items()) {
        if (!key.starts_with(set_prefix)) continue;
        const std::string name = key.substr(std::string_view(set_prefix).size());
        point.set.emplace_back(name, setting_value(value, section, key));
    }
    Settings settings = preset_settings(point.method);
    for (const auto& [name, value] : point.set) set_setting(settings, name, value);
    return point;
}

SweepEvaluation parse_evaluation(const Json& description, const std::string& where) {
    SweepEvaluation evaluation;
    if (!description.contains("evaluation") || description["evaluation"].is_null())
        return evaluation;
    const Section section(description["evaluation"], where + ": evaluation");
    section.allow({"text", "ctx", "max_tokens", "protocol", "reference"});
    evaluation.texts = section.files("text");
    if (evaluation.texts.empty()) throw section.fault("text", "is missing: the texts to predict");
    evaluation.options.ctx = section.integer("ctx", 2, 0);
    evaluation.options.max_tokens = section.integer("max_tokens", 2, 0);
    if (section.word("protocol", {"every-token", "llamacpp"}) == "llamacpp")
        evaluation.options.protocol = EvalProtocol::llamacpp;
    evaluation.reference = section.flag("reference", true);
    return evaluation;
}

}  // namespace

std::vector<std::string> SweepPoint::assignments() const {
    std::vector<std::string> list;
    for (const auto& [name, value] : set) list.push_back(name + "=" + value);
    return list;
}

ModelPlan SweepPoint::plan(std::vector<TensorPlan> tensors) const {
    return plan_preset(std::move(tensors), method, assignments(), bits.value_or(0));
}

SweepSpec parse_sweep(const Json& description, const std::string& where) {
    const Section section(description, where);
    std::vector<std::string> keys = axis_keys;
    keys.insert(keys.end(), {"precision", "evaluation", "include", "exclude", "keep_stores"});
    section.allow(keys);
    SweepSpec spec;
    spec.source = description;
    spec.precision = section.word("precision", {"auto", "fp32", "bf16"});
    spec.keep_stores = section.flag("keep_stores", false);
    spec.evaluation = parse_evaluation(description, where);
    const std::vector<GridAxis> axes = grid_axes(description, where);
    double count = 1;
    for (const GridAxis& axis : axes) count *= static_cast<double>(axis.values.size());
    if (count > most_points)
        throw section.fault("", fmt::format("has more than {} runs", most_points));
    for (const Json& combination : expand_grid(axes, flatten_all(description, "exclude", where),
                                               flatten_all(description, "include", where), where))
        spec.points.push_back(parse_point(combination, where));
    if (spec.points.empty()) throw section.fault("exclude", "leaves no run");
    return spec;
}

Json to_json(const SweepPoint& point) {
    Json set = Json::object();
    for (const auto& [name, value] : point.set) set[name] = value;
    Json json = {{"model", point.model},
                 {"method", point.method},
                 {"bits", point.bits ? Json(*point.bits) : Json(nullptr)},
                 {"seed", point.seed},
                 {"hessians", point.hessians},
                 {"set", set}};
    if (!point.hessians_from_file())
        json["calibration"] = {{"text", point.calibration.paths},
                               {"chat", point.calibration.chats},
                               {"tokens", point.calibration.tokens},
                               {"ctx", point.calibration.ctx}};
    return json;
}

}  // namespace vq
