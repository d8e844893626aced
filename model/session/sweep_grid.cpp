// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep_grid.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace vq {

namespace {

std::vector<Json> combinations(const std::vector<GridAxis>& axes) {
    std::vector<Json> all = {Json::object()};
    for (const GridAxis& axis : axes) {
        std::vector<Json> longer;
        for (const Json& combination : all)
            for (const Json& value : axis.values) {
                longer.push_back(combination);
                longer.back()[axis.name] = value;
            }
        all = std::move(longer);
    }
    return all;
}

std::vector<Json> values_of(const Json& value) {
    if (!value.is_array()) return {value};
    return {value.begin(), value.end()};
}

/// The same however its keys are ordered.
std::string canonical(const Json& value) {
    return nlohmann::json::parse(value.dump()).dump();
}

bool has(const std::vector<Json>& values, const Json& value) {
    return std::any_of(values.begin(), values.end(), [own = canonical(value)](const Json& other) {
        return canonical(other) == own;
    });
}

bool holds(const Json& combination, const Json& rule) {
    return std::all_of(rule.items().begin(), rule.items().end(), [&](const auto& wanted) {
        const auto found = combination.find(wanted.key());
        if (found == combination.end()) return false;
        return has(values_of(wanted.value()), *found);
    });
}

const GridAxis* find_axis(const std::vector<GridAxis>& axes, const std::string& name) {
    const auto found = std::find_if(axes.begin(), axes.end(),
                                    [&](const GridAxis& axis) { return axis.name == name; });
    return found == axes.end() ? nullptr : &*found;
}

std::vector<Json> included(const std::vector<GridAxis>& axes, const Json& entry) {
    std::vector<GridAxis> own = axes;
    for (const auto& [name, value] : entry.items()) {
        const auto axis =
            std::find_if(own.begin(), own.end(), [&](const GridAxis& a) { return a.name == name; });
        if (axis != own.end())
            axis->values = values_of(value);
        else
            own.push_back({name, values_of(value)});
    }
    return combinations(own);
}

}  // namespace

std::vector<Json> expand_grid(const std::vector<GridAxis>& axes, const std::vector<Json>& exclude,
                              const std::vector<Json>& include, const std::string& where) {
    for (const Json& rule : exclude)
        for (const auto& [name, value] : rule.items()) {
            const GridAxis* axis = find_axis(axes, name);
            for (const Json& excluded : values_of(value))
                if (axis == nullptr || !has(axis->values, excluded))
                    throw Error("what is excluded is not in the grid",
                                where + ": exclude: " + name + ": " + excluded.dump(),
                                "exclude what the grid lists, written as it is there");
        }
    std::vector<Json> all = combinations(axes);
    std::erase_if(all, [&](const Json& combination) {
        return std::any_of(exclude.begin(), exclude.end(),
                           [&](const Json& rule) { return holds(combination, rule); });
    });
    for (const Json& entry : include)
        for (Json& combination : included(axes, entry)) all.push_back(std::move(combination));
    std::vector<Json> unique;
    std::set<std::string> seen;
    for (Json& combination : all)
        if (seen.insert(canonical(combination)).second) unique.push_back(std::move(combination));
    return unique;
}

}  // namespace vq
