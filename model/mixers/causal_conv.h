// SPDX-License-Identifier: Apache-2.0
// A convolution over the past of each channel by itself:
//   y[t][c] = sum_j taps[j][c] x[t - kernel + 1 + j][c]
#pragma once

#include "base/matrix.h"

namespace vq {

/// Rows of a sequence, one a token, `ld` apart.
struct ConvRows {
    const float* x = nullptr;
    Index ld = 0;
};

/// y (count, channels), rows ldy apart, for tokens first .. first + count - 1 of x. `taps` is
/// (kernel, channels), rows ld_taps apart, the last one of the token itself. What lies before x's
/// row 0 are the kernel - 1 rows of `recent`, oldest first, or zeros where that is null.
void causal_conv(ConvRows x, Index first, Index count, Index channels, ConvRows recent,
                 const float* taps, Index ld_taps, Index kernel, float* y, Index ldy);

/// Brings `recent` (kernel - 1 rows, ld_recent apart) up to date when x's `tokens` rows follow it.
void keep_recent(ConvRows x, Index tokens, Index channels, Index kernel, float* recent,
                 Index ld_recent);

/// A checkpoint's weights (channels, kernel) as taps (kernel, channels): channels are neighbours in
/// memory, so that the sums of many run side by side.
Matrix conv_taps(const Matrix& weight);

}  // namespace vq
