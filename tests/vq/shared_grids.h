// SPDX-License-Identifier: Apache-2.0
// The fixed grids that a preset with rates by column works with.
#pragma once

#include "vq/layer/quantize_layer.h"
#include "vq/tensor/code_families.h"

namespace vq::test {

inline SharedCodes shared_grids(const Settings& s) {
    return family_of(s.code).universal(s.code);
}

}  // namespace vq::test
