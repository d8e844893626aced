// SPDX-License-Identifier: Apache-2.0
// The family "trellis": a bitshift trellis along output rows, 1 to 4 bits a weight by column.
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily trellis_family;

}  // namespace vq
