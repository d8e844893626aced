// SPDX-License-Identifier: Apache-2.0
// What the runtime cannot follow is refused before anything is read, in this one place.
#pragma once

#include "io/families/model_config.h"

namespace vq {

/// Throws Error that names the first thing in `config` that the runtime does not have.
void check_runtime(const ModelConfig& config);

}  // namespace vq
