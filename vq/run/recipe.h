// SPDX-License-Identifier: Apache-2.0
// A recipe says which tensors differ from the rest of a plan: a YAML mapping from patterns of names
// to settings,
//     layers.*.mlp.down_proj: {code.rate: 3}
//     layers.0.*: {bits: 4}
//     embedding: {embedding.bits: 4}
//     layers.*.v_proj: {importance: 3}
// Later lines go over earlier ones.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "vq/run/plan.h"

namespace vq {

struct RecipeSetting {
    std::string key;  ///< "code.rate"; "method", "bits", "importance" are words of their own
    std::string value;
    int line = 0;  ///< from 1
};

struct RecipeRule {
    std::string pattern;
    int line = 0;
    std::vector<RecipeSetting> settings;
};

struct Recipe {
    std::string where;  ///< the file, for errors
    std::vector<RecipeRule> rules;
    bool empty() const { return rules.empty(); }
};

/// `text` is YAML; settings may be nested (code: {rate: 3}). Throws Error that names the line.
Recipe parse_recipe(const std::string& text, const std::string& where);

/// Whether `pattern` stands for `name`: the whole of it, or without a "model." in front, or without
/// ".weight" at the end. `*`: any characters.
bool matches_name(const std::string& pattern, const std::string& name);

/// The plan with the recipe's settings, tensors of which are sized one by one: to `bits` where a
/// rule says so, else to what its method has where it names one, else to what they had in the plan
/// where another kind or width of code needs another size. Where importances differ, tensors that
/// have nothing else of their own share out the bits that the plan gave them (share_rates).
/// `tensors`: all that a plan can be of, those
/// that this one keeps dense included; "embedding" and "head" name the tables. Throws Error that
/// names the line of a pattern that stands for nothing, of an unknown key and of a bad value.
ModelPlan apply_recipe(const Recipe& recipe, const std::vector<TensorPlan>& tensors,
                       ModelPlan plan);

/// The same in two steps, for many plans of the same tensors: which rules stand for each of
/// `tensors`, in their order. Throws Error that names the line of a pattern that stands for nothing.
using RecipeMatches = std::vector<std::vector<std::size_t>>;
RecipeMatches match_recipe(const Recipe& recipe, const std::vector<TensorPlan>& tensors);
ModelPlan apply_recipe(const Recipe& recipe, const RecipeMatches& matches,
                       const std::vector<TensorPlan>& tensors, ModelPlan plan);

/// A list of {"pattern": ..., "settings": {key: value}}, for the provenance.
Json recipe_json(const Recipe& recipe);

}  // namespace vq
