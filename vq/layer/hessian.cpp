// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/hessian.h"

#include <cmath>

#include "base/error.h"
#include "base/gemm.h"

namespace vq {

void HessianSum::add(const float* x_rows, Index tokens) {
    const Index n = cols();
    add_gram(x_rows, tokens, n, xxt);
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

MatrixD prepare_hessian(const HessianSum& sum, double damping, const std::string& where,
                        HessianReport* report) {
    const Index n = sum.cols();
    HessianReport found;
    if (!sum.xxt.allFinite() || sum.count < 0)
        throw Error("the Hessian holds a value that is not finite", where,
                    "collect it again; the calibration text or the model is damaged");
    if (sum.count == 0 || n == 0) {
        found.never_seen = true;
        if (report != nullptr) *report = found;
        return MatrixD::Identity(n, n);
    }
    MatrixD h = sum.xxt / static_cast<double>(sum.count);
    const double mean = h.diagonal().mean();
    if (!(mean > 0)) {  // inputs were always zero
        found.never_seen = true;
        found.dead_columns = n;
        if (report != nullptr) *report = found;
        return MatrixD::Identity(n, n);
    }
    for (Index j = 0; j < n; ++j) {
        // Below this an input carries no signal in fp32 next to the others.
        if (h(j, j) > 1e-14 * mean) continue;
        ++found.dead_columns;
        h.row(j).setZero();
        h.col(j).setZero();
        h(j, j) = mean;
    }
    for (double added = 0, next = damping;; next = next > 0 ? next * 10 : 1e-8) {
        h.diagonal().array() += (next - added) * mean;
        added = next;
        MatrixD factor = h;
        if (cholesky_lower(factor)) {
            found.damping = added;
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
