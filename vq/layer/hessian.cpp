// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/hessian.h"

#include <utility>

#include "base/error.h"
#include "base/gemm.h"

namespace vq {

void HessianSum::add(const float* x_rows, Index tokens) {
    const Index n = cols();
    add_gram(x_rows, tokens, n, xxt);
    // The inputs' mean, for biases; little beside the products.
    for (Index t = 0; t < tokens; ++t)
        for (Index j = 0; j < n; ++j) x(j) += static_cast<double>(x_rows[t * n + j]);
    count += tokens;
}

void HessianSum::merge(const HessianSum& other) {
    VQ_ASSERT(cols() == other.cols());
    xxt += other.xxt;
    x += other.x;
    count += other.count;
}

namespace {

double next_damping(double damping) {
    return damping > 0 ? damping * 10 : 1e-8;
}

/// H / count with dead columns made good for, undamped, and the mean of its diagonal.
MatrixD undamped_hessian(const HessianSum& sum, double* mean, Index* dead_columns) {
    MatrixD h = sum.xxt / static_cast<double>(sum.count);
    *mean = h.diagonal().mean();
    for (Index j = 0; j < sum.cols() && *mean > 0; ++j) {
        // Below this an input carries no signal in fp32 next to the others.
        if (h(j, j) > 1e-14 * *mean) continue;
        ++*dead_columns;
        // An input that is always zero: any weight costs nothing. With a diagonal like the others'
        // and no neighbours it is rounded by itself and keeps the factor well away from zero.
        h.row(j).setZero();
        h.col(j).setZero();
        h(j, j) = *mean;
    }
    return h;
}

}  // namespace

MatrixD damped_hessian(const HessianSum& sum, double damping, const HessianReport& found) {
    const Index n = sum.cols();
    if (found.never_seen) return MatrixD::Identity(n, n);
    double mean = 0;
    Index dead_columns = 0;
    MatrixD h = undamped_hessian(sum, &mean, &dead_columns);
    // Added in the same steps as when it was found, for the same bits.
    double added = 0;
    for (double next = damping;; next = next_damping(next)) {
        h.diagonal().array() += (next - added) * mean;
        added = next;
        if (added >= found.damping) return h;
    }
}

MatrixD prepare_hessian(const HessianSum& sum, double damping, const std::string& where,
                        HessianReport* report, MatrixD* factor) {
    const Index n = sum.cols();
    HessianReport found;
    if (!sum.xxt.allFinite() || sum.count < 0)
        throw Error("the Hessian holds a value that is not finite", where,
                    "collect it again; the calibration text or the model is damaged");
    double mean = 0;
    MatrixD h;
    if (sum.count > 0 && n > 0) h = undamped_hessian(sum, &mean, &found.dead_columns);
    if (!(mean > 0)) {  // no token, or inputs that were always zero
        found.never_seen = true;
        found.dead_columns = sum.count > 0 ? n : 0;
        if (report != nullptr) *report = found;
        if (factor != nullptr) *factor = MatrixD::Identity(n, n);
        return MatrixD::Identity(n, n);
    }
    double added = 0;
    for (double next = damping;; next = next_damping(next)) {
        h.diagonal().array() += (next - added) * mean;
        added = next;
        // A failed factorization leaves its argument half done.
        MatrixD tried = h;
        if (cholesky_lower(tried)) {
            found.damping = added;
            if (factor != nullptr) *factor = std::move(tried);
            break;
        }
        if (added > 10)
            throw Error("the Hessian is not positive semi-definite", where,
                        "collect it again; it was damaged or made by another tool");
    }
    if (report != nullptr) *report = found;
    return h;
}

}  // namespace vq
