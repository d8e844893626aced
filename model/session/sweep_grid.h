// SPDX-License-Identifier: Apache-2.0
// Grids: every combination of the values of some axes, without what is excluded and with what is
// included besides.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace vq {

struct GridAxis {
    std::string name;
    std::vector<Json> values;  ///< at least one
};

/// All combinations as objects {axis: value}, the last axis changing fastest, each once.
/// `exclude`: objects; a combination goes when all that one of them names has that value, or one of a
/// list of values. `include`: objects of values or lists of values: their combinations come behind
/// the others; axes that an object does not name have the values of the grid, axes that the grid does
/// not have are as good as its own. `where` names both in errors. Throws Error when something
/// excluded is no axis.
std::vector<Json> expand_grid(const std::vector<GridAxis>& axes, const std::vector<Json>& exclude,
                              const std::vector<Json>& include, const std::string& where);

}  // namespace vq
