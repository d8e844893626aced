// SPDX-License-Identifier: Apache-2.0
// The family "residual": k-means VQ (one stage), residual and additive VQ, scalar grids (d = 1).
#pragma once

#include "base/codes/family.h"

namespace vq {

extern const CodeFamily residual_family;

}  // namespace vq
