// SPDX-License-Identifier: Apache-2.0
// Files of pages that travel inside the library.
#pragma once

#include <string_view>

namespace vq {

/// "sweep.html", "sweep.js", the same of "inspect", "page.css", "page.js", "chart.js"; empty for any
/// other name.
std::string_view page_part(std::string_view name);

}  // namespace vq
