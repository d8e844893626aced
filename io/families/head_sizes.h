// SPDX-License-Identifier: Apache-2.0
// Attention whose layers differ (Gemma 4): in the size and number of heads, and in whose keys and
// values they look at.
#pragma once

#include <cstdint>
#include <vector>

#include "io/families/config_reader.h"
#include "io/families/model_config.h"

namespace vq {

struct HeadSizes {
    std::int64_t head_dim = 0;
    std::int64_t n_kv_heads = 0;
    bool operator==(const HeadSizes&) const = default;
};

/// By layer; `usual` where nothing else is said. Layers of one kind (`windowed`, by layer) have one
/// size: throws Error on a configuration in which they do not.
std::vector<HeadSizes> read_head_sizes(const ConfigReader& reader, HeadSizes usual,
                                       const std::vector<bool>& windowed);

/// Sets which layers use the keys and values of which, and the width of their MLPs. Throws Error
/// where there is no layer to use those of.
void read_shared_keys(const ConfigReader& reader, std::vector<LayerConfig>& layers);

}  // namespace vq
