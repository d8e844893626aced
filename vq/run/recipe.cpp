// SPDX-License-Identifier: Apache-2.0
#include "vq/run/recipe.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "vq/run/budget.h"
#include "vq/run/presets.h"
#include "vq/run/share_rates.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

constexpr double least_bits = 0.25;
constexpr double most_bits = 16;

std::string place(const std::string& where, int line) {
    return fmt::format("{}: line {}", where, line);
}

int line_of(const YAML::Node& node) {
    return node.Mark().line + 1;
}

void read_settings(const YAML::Node& node, const std::string& prefix, const std::string& where,
                   std::vector<RecipeSetting>& out) {
    for (const auto& entry : node) {
        const std::string key = prefix + entry.first.as<std::string>();
        const int line = line_of(entry.first);
        // An alias may hold itself.
        if (key.size() > 200)
            throw Error("no setting has such a name", place(where, line) + ": " + key.substr(0, 60),
                        "see vq quantize --help");
        if (entry.second.IsMap())
            read_settings(entry.second, key + ".", where, out);
        else if (entry.second.IsScalar())
            out.push_back({key, entry.second.as<std::string>(), line});
        else
            throw Error("a setting has no value", place(where, line) + ": " + key,
                        "write " + key + ": VALUE");
    }
}

/// With `*` for any characters.
bool matches(std::string_view pattern, std::string_view text) {
    const std::size_t star = pattern.find('*');
    if (star == std::string_view::npos) return pattern == text;
    if (!text.starts_with(pattern.substr(0, star))) return false;
    const std::string_view rest = pattern.substr(star + 1);
    for (std::size_t at = star; at <= text.size(); ++at)
        if (matches(rest, text.substr(at))) return true;
    return false;
}

bool is_table(const TensorPlan& t) {
    return t.role == PlanRole::embedding;
}

bool matches_tensor(const std::string& pattern, const TensorPlan& t, bool first_table) {
    if (matches_name(pattern, t.name)) return true;
    if (!is_table(t)) return false;
    return (pattern == "embedding" && first_table) || (pattern == "head" && t.makes_logits);
}

/// What the rules for one tensor come to.
class Cook {
public:
    Cook(const Recipe& recipe, const TensorPlan& tensor, const ModelPlan& plan)
        : recipe_(recipe), tensor_(tensor), plan_(plan) {}

    void add(const RecipeRule& rule) {
        // A method begins anew, and what stands beside it, before or behind, goes on top.
        for (const bool method : {true, false})
            for (const RecipeSetting& setting : rule.settings)
                if ((setting.key == "method") == method) add(setting);
    }

    /// Nothing: the tensor is kept dense.
    std::optional<TensorPlan> operator()(const TensorPlan* planned) const {
        TensorPlan out = tensor_;
        Settings base = plan_.settings;
        if (!method_.empty()) base = preset_settings(method_);
        if (is_table(out)) {
            for (const RecipeSetting& s : settings_)
                if (of_tables(s)) set(base, s);
            if (bits_ > 0) base.embedding_bits = bits_;
            if (base.embedding_bits == 0 && base.embedding == EmbeddingCode::dense) return {};
            out.settings = embedding_settings(base, out.makes_logits);
        } else {
            out.settings = method_.empty() ? planned->settings : base;
        }
        out.importance = importance_;
        out.given = !settings_.empty() || bits_ > 0 || !method_.empty();
        if (importance_ != 1) check_importance(out);
        bool sized = false;
        bool changed = !method_.empty();
        for (const RecipeSetting& s : settings_) {
            if (of_tables(s)) continue;
            // What a code of another kind is cut into says nothing of this one.
            if (s.key == "code.kind" || s.key == "code.dim" || s.key == "code.grid") {
                changed = true;
                out.settings.code.rate = 0;
                out.settings.code.stage_bits.clear();
            }
        }
        for (const RecipeSetting& s : settings_) {
            if (of_tables(s)) continue;
            sized |= s.key == "code.rate" || s.key == "code.stage_bits";
            set(out.settings, s);
        }
        if (is_table(out) && !out.makes_logits && out.settings.objective != Objective::identity)
            throw Error("the recipe does not go with a tensor", where_,
                        out.name + " is looked up by rows: its objective is the identity");
        try {
            size(out, planned, base, sized, changed);
            check_settings(out.settings);
        } catch (const Error& error) {
            throw Error("the recipe does not go with a tensor", where_,
                        out.name + ": " + error.what());
        }
        return out;
    }

private:
    static bool of_tables(const RecipeSetting& s) { return s.key.starts_with("embedding."); }

    void add(const RecipeSetting& setting) {
        where_ = place(recipe_.where, setting.line);
        if (setting.key == "method") {
            find_method(setting);
        } else if (setting.key == "bits") {
            bits_ = number(setting, least_bits, most_bits);
        } else if (setting.key == "importance") {
            importance_ = number(setting, least_importance, most_importance);
        } else {
            std::erase_if(settings_, [&](const RecipeSetting& s) { return s.key == setting.key; });
            settings_.push_back(setting);
        }
    }

    double number(const RecipeSetting& setting, double least, double most) const {
        double value = 0;
        const char* end = setting.value.data() + setting.value.size();
        const auto [stop, status] = std::from_chars(setting.value.data(), end, value);
        if (status != std::errc() || stop != end || !(value >= least && value <= most))
            throw Error("bad value", where_ + ": " + setting.key + ": " + setting.value,
                        fmt::format("use a number from {} to {}", least, most));
        return value;
    }

    /// Only what shares bits with others has an importance beside them.
    void check_importance(const TensorPlan& tensor) const {
        const CodeSettings& code = tensor.settings.code;
        const char* what = nullptr;
        if (is_table(tensor))
            what = "is no linear layer";
        else if (!family_of(code).rates(code).any())
            what = "has a code without rates";
        else if (tensor.given)
            what = "has settings of its own";
        if (what != nullptr)
            throw Error("importance of a tensor that shares no bits with others", where_,
                        tensor.name + " " + what);
    }

    void find_method(const RecipeSetting& setting) {
        try {
            find_preset(setting.value);
        } catch (const Error& error) {
            throw Error("bad value", where_ + ": method", error.what());
        }
        method_ = setting.value;
        settings_.clear();
        bits_ = 0;
        importance_ = 1;
    }

    void set(Settings& to, const RecipeSetting& s) const {
        try {
            set_setting(to, s.key, s.value);
        } catch (const Error& error) {
            throw Error("bad line of a recipe", place(recipe_.where, s.line), error.what());
        }
    }

    /// The code of the bits that are asked for, if any are.
    void size(TensorPlan& out, const TensorPlan* planned, const Settings& base, bool sized,
              bool changed) const {
        Settings& s = out.settings;
        const auto weights = static_cast<double>(out.shape.rows * out.shape.cols);
        double bits = bits_;
        if (bits == 0 && !method_.empty()) bits = find_preset(method_).bits;
        if (is_table(out)) {
            if (bits == 0) bits = base.embedding_bits;
        } else if (bits == 0 && changed) {
            bits = vq::planned_bits(*planned) / weights;
        }
        if (bits > 0 && !sized) {
            s.code.rate = 0;
            if (!is_rounded(out)) s.code.stage_bits.clear();
            fit_budget(s, {{out.shape}}, bits);
        }
        if (s.code.scope == CodebookScope::automatic)
            s.code.scope = plan_scope(s, {{out.shape}}).scope;
    }

    const Recipe& recipe_;
    const TensorPlan& tensor_;
    const ModelPlan& plan_;
    std::string where_;
    std::string method_;
    double bits_ = 0;
    double importance_ = 1;
    std::vector<RecipeSetting> settings_;
};

}  // namespace

bool matches_name(const std::string& pattern, const std::string& name) {
    std::string_view full = name;
    std::string_view body = full;
    if (body.starts_with("model.")) body.remove_prefix(6);
    const auto stem = [](std::string_view text) {
        return text.ends_with(".weight") ? text.substr(0, text.size() - 7) : text;
    };
    return matches(pattern, full) || matches(pattern, body) || matches(pattern, stem(full)) ||
           matches(pattern, stem(body));
}

Recipe parse_recipe(const std::string& text, const std::string& where) {
    Recipe recipe;
    recipe.where = where;
    try {
        const YAML::Node root = YAML::Load(text);
        if (!root.IsMap() || root.size() == 0)
            throw Error("a recipe is a mapping of patterns", where,
                        "write lines as PATTERN: {code.rate: 3}");
        for (const auto& entry : root) {
            RecipeRule rule;
            rule.pattern = entry.first.as<std::string>();
            rule.line = line_of(entry.first);
            if (!entry.second.IsMap() || entry.second.size() == 0)
                throw Error("a pattern has no settings", place(where, rule.line),
                            "write " + rule.pattern + ": {code.rate: 3}");
            read_settings(entry.second, "", where, rule.settings);
            recipe.rules.push_back(std::move(rule));
        }
    } catch (const YAML::Exception& error) {
        throw Error("not YAML", place(where, error.mark.line + 1), error.msg);
    }
    return recipe;
}

RecipeMatches match_recipe(const Recipe& recipe, const std::vector<TensorPlan>& tensors) {
    RecipeMatches matches(tensors.size());
    std::vector<bool> used(recipe.rules.size(), false);
    std::vector<bool> of_a_table(recipe.rules.size(), false);
    bool first_table = true;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const TensorPlan& t = tensors[i];
        for (std::size_t r = 0; r < recipe.rules.size(); ++r) {
            if (!matches_tensor(recipe.rules[r].pattern, t, first_table)) continue;
            matches[i].push_back(r);
            used[r] = true;
            of_a_table[r] = of_a_table[r] || is_table(t);
        }
        if (is_table(t)) first_table = false;
    }
    for (std::size_t r = 0; r < recipe.rules.size(); ++r) {
        const RecipeRule& rule = recipe.rules[r];
        if (!used[r])
            throw Error("a pattern stands for no tensor",
                        place(recipe.where, rule.line) + ": " + rule.pattern,
                        "see the names of --dry-run");
        for (const RecipeSetting& s : rule.settings)
            if (s.key.starts_with("embedding.") && !of_a_table[r])
                throw Error("a setting of the embedding for tensors that are none",
                            place(recipe.where, s.line) + ": " + s.key,
                            "write it under embedding or head");
    }
    return matches;
}

ModelPlan apply_recipe(const Recipe& recipe, const std::vector<TensorPlan>& tensors,
                       ModelPlan plan) {
    return apply_recipe(recipe, match_recipe(recipe, tensors), tensors, std::move(plan));
}

ModelPlan apply_recipe(const Recipe& recipe, const RecipeMatches& matches,
                       const std::vector<TensorPlan>& tensors, ModelPlan plan) {
    if (recipe.empty()) return plan;
    std::map<std::string, TensorPlan> planned;
    for (TensorPlan& t : plan.tensors) planned.emplace(t.name, std::move(t));
    plan.tensors.clear();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const TensorPlan& t = tensors[i];
        const auto found = planned.find(t.name);
        const TensorPlan* before = found == planned.end() ? nullptr : &found->second;
        if (matches[i].empty()) {
            if (before != nullptr) plan.tensors.push_back(*before);
            continue;
        }
        Cook cook(recipe, t, plan);
        for (const std::size_t r : matches[i]) cook.add(recipe.rules[r]);
        if (auto cooked = cook(before)) plan.tensors.push_back(std::move(*cooked));
    }
    if (std::any_of(plan.tensors.begin(), plan.tensors.end(),
                    [](const TensorPlan& t) { return t.importance != 1; }))
        share_rates(free_bits(plan), plan);
    return plan;
}

Json recipe_json(const Recipe& recipe) {
    Json list = Json::array();
    for (const RecipeRule& rule : recipe.rules) {
        Json settings = Json::object();
        for (const RecipeSetting& s : rule.settings) settings[s.key] = s.value;
        list.push_back({{"pattern", rule.pattern}, {"settings", settings}});
    }
    return list;
}

}  // namespace vq
