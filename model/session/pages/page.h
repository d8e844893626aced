// SPDX-License-Identifier: Apache-2.0
// Pages for people: one HTML file each, which loads nothing from anywhere.
#pragma once

#include <string>

#include "base/json.h"

namespace vq {

/// The page of a sweep, from the document that is results.json.
std::string sweep_page(const Json& results);

/// The page of a store, from the document that `vq inspect --json` prints.
std::string inspect_page(const Json& store);

}  // namespace vq
