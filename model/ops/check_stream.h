// SPDX-License-Identifier: Apache-2.0
// Numbers that overflow are an error where they begin, not a result.
#pragma once

#include <string>

#include "base/matrix.h"

namespace vq {

/// Throws Error that names `where` unless the rows of x (rows, width) are finite and small enough
/// to be normed (the sum of their squares is finite).
void check_stream(const float* x, Index rows, Index width, const std::string& where);

/// "layer 3", for that.
std::string layer_name(Index layer);

}  // namespace vq
