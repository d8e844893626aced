// SPDX-License-Identifier: Apache-2.0
// Panels: 64 rows of weights as bytes, up to activation_group columns wide, for products with many
// vectors. A code whose values are whole steps already gives its own bytes: nothing is decoded to
// floats and rounded, and such products give the same bits as those with one vector.
#pragma once

#include "base/packed/activation.h"
#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr Index panel_rows = 64;
/// w = (byte - panel_offset) * row_scale.
inline constexpr std::int32_t panel_offset = 128;

struct PanelWeights {
    const std::uint8_t* bytes;  ///< [quad of columns][64 rows][4 columns]
    const float* row_scales;
};

/// Where a panel is made; rows that a tensor lacks have any bytes and scales of zero.
struct PanelRoom {
    alignas(64) std::uint8_t bytes[activation_group * panel_rows];
    float row_scales[panel_rows];
};

struct PanelInputs {
    const std::uint32_t* quads;
    const float* scales;
    const std::int32_t* sums;
};

/// Scales of the rows of a panel in steps of `step`: times the tensor's where it has scales a group
/// of columns; `column`: the tensor's first one of the panel.
void step_scales(const Tensor& t, Index row, Index column, float step, float* row_scales);

}  // namespace vq::decode
