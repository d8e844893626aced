// SPDX-License-Identifier: Apache-2.0
#include "base/codes/local_metric.h"

#include <utility>

namespace vq {

LocalMetric LocalMetric::diagonal_of(const float* m, Index d) {
    LocalMetric out(d);
    if (m != nullptr)
        for (Index j = 0; j < d; ++j) out.diagonal[static_cast<std::size_t>(j)] = m[j * d + j];
    return out;
}

LocalMetric::LocalMetric(const float* m, Index d) : LocalMetric(diagonal_of(m, d)) {
    if (m == nullptr) return;
    const Eigen::Map<const Matrix> full(m, d, d);
    if (full.isDiagonal(0)) return;
    // M = L D L^T by columns, in fp64: pivots are differences of nearly equal numbers where inputs
    // go together.
    MatrixD c = full.cast<double>();
    for (Index j = 0; j < d; ++j) {
        const double pivot = c(j, j);
        // What rounding made singular is searched weight by weight.
        if (!(pivot > 0)) return;
        for (Index i = j + 1; i < d; ++i) {
            const double factor = c(i, j) / pivot;
            for (Index k = j + 1; k <= i; ++k) c(i, k) -= factor * c(k, j);
        }
        for (Index i = j + 1; i < d; ++i) c(i, j) /= pivot;
    }
    for (Index j = 0; j < d; ++j)
        diagonal[static_cast<std::size_t>(j)] = static_cast<float>(c(j, j));
    lower = c.cast<float>();
}

}  // namespace vq
