// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/causal_conv.h"

#include <algorithm>

namespace vq {

void causal_conv(ConvRows x, Index first, Index count, Index channels, ConvRows recent,
                 const float* taps, Index ld_taps, Index kernel, float* y, Index ldy) {
    using Row = Eigen::Map<const Vector>;
    for (Index t = first; t < first + count; ++t) {
        Eigen::Map<Vector> out(y + (t - first) * ldy, channels);
        out.setZero();
        for (Index j = 0; j < kernel; ++j) {
            const Index at = t - kernel + 1 + j;
            if (at < 0 && recent.x == nullptr) continue;
            const float* row = at >= 0 ? x.x + at * x.ld : recent.x + (at + kernel - 1) * recent.ld;
            out += Row(taps + j * ld_taps, channels).cwiseProduct(Row(row, channels));
        }
    }
}

void keep_recent(ConvRows x, Index tokens, Index channels, Index kernel, float* recent,
                 Index ld_recent) {
    // Upwards: a row that is moved is read before its place is taken.
    for (Index i = 0; i < kernel - 1; ++i) {
        const Index at = tokens - (kernel - 1) + i;  // of x
        const float* row = at >= 0 ? x.x + at * x.ld : recent + (at + kernel - 1) * ld_recent;
        std::copy_n(row, channels, recent + i * ld_recent);
    }
}

Matrix conv_taps(const Matrix& weight) {
    return weight.transpose();
}

}  // namespace vq
