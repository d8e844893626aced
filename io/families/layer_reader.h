// SPDX-License-Identifier: Apache-2.0
// What every block of a model computes, from a family's row and the settings of config.json.
#pragma once

#include "io/families/config_reader.h"
#include "io/families/model_config.h"

namespace vq {

/// The widest input or output of a layer that is taken for meant.
inline constexpr std::int64_t widest_layer = 1 << 22;

/// Sets layers (but for their tensors) and ropes; hidden_size must stand. Throws Error on what no
/// model has.
void read_layers(const ConfigReader& reader, ModelConfig& config);

/// The plain MLP of a block and its mixture of experts: a block has one of them, or both side by
/// side.
struct FeedForwardConfig {
    MlpConfig mlp;
    MixtureConfig mixture;
};

/// By block.
std::vector<FeedForwardConfig> read_feed_forward(const ConfigReader& reader, std::int64_t n_layers);

}  // namespace vq
