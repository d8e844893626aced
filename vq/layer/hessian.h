// SPDX-License-Identifier: Apache-2.0
// Second moments of a linear layer's inputs: H = sum x x^T, with sum x and the token count. They
// are sums, so that merging two collections is exact addition. What quantization uses is H / count.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace vq {

struct HessianSum {
    MatrixD xxt;             ///< size (n, n): sum of x x^T
    VectorD x;               ///< size (n): sum of x
    std::int64_t count = 0;  ///< tokens seen

    HessianSum() = default;
    explicit HessianSum(Index n) : xxt(MatrixD::Zero(n, n)), x(VectorD::Zero(n)) {}
    Index cols() const { return xxt.cols(); }

    /// Adds `tokens` inputs, x of size (tokens, n). The same bits at any number of threads.
    void add(const float* x_rows, Index tokens);
    /// Adds another collection of the same layer's inputs.
    void merge(const HessianSum& other);
};

/// What was found in a Hessian before it was used.
struct HessianReport {
    Index dead_columns = 0;   ///< inputs that were always zero
    bool never_seen = false;  ///< no token at all: the identity is used
    double damping = 0;       ///< what was added to the diagonal, in units of its mean
};

/// H / count, made positive definite: dead columns (diagonal zero) get the mean diagonal and no
/// correlations; then `damping` times the mean diagonal is added to the diagonal, ten times more
/// again until a Cholesky factorization succeeds. A never-seen layer gets the identity. `factor`,
/// if not null, receives the lower Cholesky factor of the result. Throws Error when H holds a value
/// that is not finite; `where` names it.
MatrixD prepare_hessian(const HessianSum& sum, double damping, const std::string& where,
                        HessianReport* report, MatrixD* factor = nullptr);

/// The same H without a factorization, from what prepare_hessian() reported for the same sums and
/// the same `damping`: equal bit for bit.
MatrixD damped_hessian(const HessianSum& sum, double damping, const HessianReport& found);

}  // namespace vq
