// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/hessian_factors.h"

#include <utility>

#include "base/hash.h"

namespace vq {

MatrixD HessianFactors::hessian(double damping, const std::string& where, HessianReport* report) {
    MatrixD h;
    if (damping == damping_) {
        h = damped_hessian(sum_, damping, found_);
    } else {
        h = prepare_hessian(sum_, damping, where, &found_, nullptr);
        cholesky_.resize(0, 0);
        damping_ = damping;
        ++made_;
    }
    if (report != nullptr) *report = found_;
    return h;
}

const MatrixD& HessianFactors::cholesky(double damping, const std::string& where) {
    if (damping != damping_ || cholesky_.size() == 0) {
        prepare_hessian(sum_, damping, where, &found_, &cholesky_);
        damping_ = damping;
        ++made_;
    }
    return cholesky_;
}

void HessianFactors::drop_cholesky() {
    cholesky_.resize(0, 0);
}

std::shared_ptr<const BlockLDL> HessianFactors::block_ldl(MatrixD h, Index block,
                                                          FeedbackOrder order) {
    Hasher hasher;
    // By the bits of the very matrix: tensors of a group have column scales and permutations of
    // their own, and a factor of another matrix would be a fault that nobody sees.
    const Index what[] = {h.rows(), h.cols(), block, static_cast<Index>(order)};
    hasher.add(what, sizeof(what));
    hasher.add(h.data(), static_cast<std::size_t>(h.size()) * sizeof(double));
    const std::string key = hasher.hex();
    if (ldl_ == nullptr || key != ldl_key_) {
        ldl_.reset();  // before the next one is made: never two at a time
        ldl_ = std::make_shared<const BlockLDL>(factorize_block_ldl(std::move(h), block, order));
        ldl_key_ = key;
        ++made_;
    }
    return ldl_;
}

}  // namespace vq
