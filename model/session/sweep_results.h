// SPDX-License-Identifier: Apache-2.0
// Results of a sweep in files: one JSON document with everything, and one table.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace vq {

/// The table: a line for each point and text, first what the point is, then its figures, then time
/// and memory, which alone differ from run to run. A point that failed has one line with its error,
/// one that is still to be done has none. Quoted as RFC 4180 says.
std::string results_csv(const std::vector<Json>& rows);

/// Columns of results_csv() that differ from run to run.
const std::vector<std::string>& varying_columns();

}  // namespace vq
