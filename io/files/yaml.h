// SPDX-License-Identifier: Apache-2.0
// YAML files that people write for a program: read as JSON values, in the order in which they stand.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace vq {

/// Plain scalars are null, true and false, integers and decimal numbers as YAML 1.2 reads them, all
/// else is text, as is whatever stands in quotes. Throws Error that names `where` and the line when
/// the text is no YAML, when a key stands twice or is no scalar, when there is more than one
/// document, and when aliases make more values of it than anyone would write.
Json parse_yaml(std::string_view text, const std::string& where);

/// The same for a file of at most 1 MiB.
Json read_yaml(const std::string& path);

}  // namespace vq
