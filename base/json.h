// SPDX-License-Identifier: Apache-2.0
// JSON whose keys keep the order in which they were written.
#pragma once

#include <nlohmann/json.hpp>

namespace vq {

using Json = nlohmann::ordered_json;

}  // namespace vq
