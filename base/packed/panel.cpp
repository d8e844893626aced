// SPDX-License-Identifier: Apache-2.0
#include "base/packed/panel.h"

#include <algorithm>

namespace vq::decode {

void step_scales(const Tensor& t, Index row, Index column, float step, float* row_scales) {
    std::fill_n(row_scales, panel_rows, step);
    if (t.scale_kind != ScaleKind::group) return;
    const Index scales_a_row = ceil_div(t.padded_cols, t.scale_group);
    const Half* scales = t.scales + row * scales_a_row + column / t.scale_group;
    for (Index r = 0; r < panel_rows; ++r)
        row_scales[r] *= float_from_half(scales[r * scales_a_row]);
}

}  // namespace vq::decode
