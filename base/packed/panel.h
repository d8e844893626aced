// Panels: 64 rows of weights as bytes, up to 128 columns wide, for products with many vectors.
#pragma once

#include "base/packed/segment.h"

namespace vq::decode {

inline constexpr Index panel_rows = 64;
/// w = (byte - panel_offset) * row_scale.
inline constexpr std::int32_t panel_offset = 128;

struct PanelWeights {
    const std::uint8_t* bytes;
    const float* row_scales;
};
struct PanelInputs {
    const std::uint32_t* quads;
    const float* scales;
    const std::int32_t* sums;
};

}  // namespace vq::decode
