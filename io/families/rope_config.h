// SPDX-License-Identifier: Apache-2.0
// How positions turn the heads of a model, from the several ways in which config.json says it.
#pragma once

#include "io/families/config_reader.h"
#include "io/families/layer_config.h"

namespace vq {

struct RopeReading {
    RopeConfig rope;
    /// Of the scores of latent attention, which makes up for what yarn takes from them.
    double score_scale = 1;
    double query_growth = 0;  ///< AttentionConfig::query_growth, and its period
    double query_period = 0;
};

/// For heads of `head_dim`, in layers that have windows or in those that have none: the same unless
/// the family turns them in different ways. Throws Error on scalings that are not known and on keys
/// whose effect is not.
RopeReading read_rope(const ConfigReader& reader, std::int64_t head_dim, bool windowed);

}  // namespace vq
