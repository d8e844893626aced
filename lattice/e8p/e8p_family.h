// SPDX-License-Identifier: Apache-2.0
// The family "e8p": vectors of 8 weights as points of the E8P codebook, in one stage or two.
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily e8p_family;

}  // namespace vq
