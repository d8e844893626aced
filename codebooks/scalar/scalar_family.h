// SPDX-License-Identifier: Apache-2.0
// The family "grid": fixed grids of single weights with different bits in different columns. Stored
// like any residual code with a shared codebook.
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily scalar_family;

}  // namespace vq
