// SPDX-License-Identifier: Apache-2.0
// Rotary positions as config.json says them: rope_theta and rope_scaling (transformers 4), or
// rope_parameters with both (5).
#pragma once

#include "io/families/config_reader.h"
#include "io/families/model_config.h"

namespace vq {

/// `dims` of a head turn. Throws Error on a scaling that is not supported, a key inside it whose
/// effect is not known, a missing or absurd number, or two original contexts that differ.
RopeConfig read_rope(const ConfigReader& reader, std::int64_t dims);

}  // namespace vq
