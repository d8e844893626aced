// SPDX-License-Identifier: Apache-2.0
// The family "bytes": 8-bit integers, each 32 of a row with a scale of their own.
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily byte_family;

}  // namespace vq
