// SPDX-License-Identifier: Apache-2.0
// HessianFactors: what was computed from the sums of one group of layers, kept for the group's next
// tensor. q, k and v read the same inputs, and where nothing about their weights enters the
// transform they factor the very same matrix.
#pragma once

#include <memory>
#include <string>

#include "vq/layer/feedback.h"
#include "vq/layer/hessian.h"

namespace vq {

/// Memory, for inputs of width n: the Cholesky factor while it is asked for (n^2 fp64, until
/// drop_cholesky()) and the last BlockLDL (n^2 fp32); everything ends with the group. Not
/// thread-safe.
class HessianFactors {
public:
    /// `sum` must outlive it and stay as it is.
    explicit HessianFactors(const HessianSum& sum) : sum_(sum) {}
    HessianFactors(const HessianFactors&) = delete;
    HessianFactors& operator=(const HessianFactors&) = delete;

    const HessianSum& sum() const { return sum_; }

    /// prepare_hessian(sum(), damping, ...). The factorization that tells how much damping is needed
    /// runs once.
    MatrixD hessian(double damping, const std::string& where, HessianReport* report);
    /// The lower Cholesky factor of hessian(damping, ...).
    const MatrixD& cholesky(double damping, const std::string& where);
    void drop_cholesky();

    /// factorize_block_ldl(h, block, order) of any H (n, n), in its place when it is moved in. The
    /// last result is given again when the content hash of h, the block and the order are its own:
    /// column scales, powers that are searched and permutations can make another matrix of the same
    /// inputs for every tensor, and a cache that went by the tensor's name would hand out the wrong
    /// factor in silence.
    std::shared_ptr<const BlockLDL> block_ldl(MatrixD h, Index block, FeedbackOrder order);

    /// Factorizations of (n, n) matrices so far.
    int factorizations() const { return made_; }

private:
    const HessianSum& sum_;
    int made_ = 0;
    double damping_ = -1;  ///< what was asked for when `found_` was found; < 0: nothing yet
    HessianReport found_;
    MatrixD cholesky_;  ///< for damping_; empty: not kept
    std::string ldl_key_;
    std::shared_ptr<const BlockLDL> ldl_;
};

}  // namespace vq
