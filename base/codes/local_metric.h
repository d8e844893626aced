// SPDX-License-Identifier: Apache-2.0
// LocalMetric: the metric M of a vector as encoders go through it weight by weight: M = L D L^T, so that
//     e^T M e = sum_j D_j (e_j + sum_{k>j} L_kj e_k)^2,
// and whoever takes weights from the last to the first can make each good for those after it.
#pragma once

#include <vector>

#include "base/matrix.h"

namespace vq {

struct LocalMetric {
    std::vector<float> diagonal;  ///< size (d): D, or diag(M), or ones
    Matrix lower;                 ///< L, size (d, d), unit lower triangular; empty for the latter

    /// m: size (d, d), symmetric, row-major; null means the identity. `lower` stays empty where M is
    /// diagonal, and where rounding made it singular.
    LocalMetric(const float* m, Index d);
    /// diag(M) alone.
    static LocalMetric diagonal_of(const float* m, Index d);

private:
    explicit LocalMetric(Index d) : diagonal(static_cast<std::size_t>(d), 1.0F) {}
};

}  // namespace vq
