// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/drift.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"

namespace vq {

namespace {

std::vector<float> difference(const float* a, const float* b, Index n) {
    std::vector<float> out(static_cast<std::size_t>(n));
    std::transform(a, a + n, b, out.begin(), std::minus<>());
    return out;
}

}  // namespace

void DriftSum::add(const float* x, const float* xq, Index n, const float* r, const float* rq,
                   Index m, Index tokens) {
    if (input.size() == 0) input = MatrixD::Zero(n, n);
    VQ_ASSERT(input.rows() == n);
    add_cross(difference(x, xq, tokens * n).data(), n, xq, n, tokens, input);
    if (r == nullptr) return;
    if (stream.size() == 0) stream = MatrixD::Zero(m, n);
    VQ_ASSERT(stream.rows() == m);
    add_cross(difference(r, rq, tokens * m).data(), m, xq, n, tokens, stream);
}

Matrix corrected_weights(const Matrix& w, HessianFactors& inputs, const DriftSum& drift,
                         double damping, double strength, const std::string& name) {
    const std::int64_t count = inputs.sum().count;
    if (drift.empty() || count == 0 || strength == 0) return w;
    VQ_ASSERT(drift.input.rows() == w.cols());
    VQ_ASSERT(drift.stream.size() == 0 || drift.stream.rows() == w.rows());
    // (W (X - Xq) Xq^T + (R - Rq) Xq^T) (Xq Xq^T)^-1: the weights that come nearest to the
    // original's outputs on the inputs that there are.
    const MatrixD& factor = inputs.cholesky(damping, name);
    MatrixD moved;
    matmul(MatrixD(w.cast<double>()), false, drift.input, false, moved);
    if (drift.stream.size() > 0) moved += drift.stream;
    moved *= strength / static_cast<double>(count);
    // moved (L L^T)^-1: every row is a solve of its own, so that slabs of them give the same bits.
    constexpr Index slab = 64;
    Matrix out(w.rows(), w.cols());
    parallel_for((w.rows() + slab - 1) / slab, [&](Index p) {
        const Index row0 = p * slab;
        const Index rows = std::min(slab, w.rows() - row0);
        MatrixD solved = moved.middleRows(row0, rows).transpose();
        factor.triangularView<Eigen::Lower>().solveInPlace(solved);
        factor.triangularView<Eigen::Lower>().transpose().solveInPlace(solved);
        out.middleRows(row0, rows) = w.middleRows(row0, rows) + solved.transpose().cast<float>();
    });
    if (!out.allFinite())
        throw Error("the corrected weights are not finite", name, "use objective.correction=0");
    return out;
}

}  // namespace vq
