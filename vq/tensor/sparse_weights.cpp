// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/sparse_weights.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/gemm.h"
#include "base/half.h"
#include "base/parallel.h"

namespace vq {

namespace {

/// Flat positions of the `count` largest scores, rising; of equal ones the first.
std::vector<Index> largest(const Matrix& residual, const MatrixD& h, Index count) {
    const Index n = residual.cols();
    std::vector<double> score(static_cast<std::size_t>(residual.size()));
    for (Index i = 0; i < residual.size(); ++i) {
        const double r = residual.data()[i];
        score.data()[i] = r * r * h(i % n, i % n);
    }
    std::vector<Index> at(score.size());
    std::iota(at.begin(), at.end(), Index{0});
    std::nth_element(at.begin(), at.begin() + count, at.end(), [&](Index a, Index b) {
        const double sa = score.data()[a];
        const double sb = score.data()[b];
        return sa != sb ? sa > sb : a < b;
    });
    at.resize(static_cast<std::size_t>(count));
    std::sort(at.begin(), at.end());
    return at;
}

}  // namespace

void SparseWeights::add_to(Matrix& out) const {
    VQ_ASSERT(out.rows() == rows() && out.cols() == cols);
    for (Index i = 0; i < rows(); ++i)
        for (std::uint32_t e = begin.data()[i]; e < begin.data()[i + 1]; ++e)
            out(i, column[e]) += value[e];
}

Index sparse_count(Index rows, Index cols, double share) {
    return static_cast<Index>(std::floor(share * static_cast<double>(rows * cols)));
}

SparseWeights fit_sparse(const Matrix& residual, const MatrixD& h, Index count) {
    const Index m = residual.rows();
    const Index n = residual.cols();
    VQ_ASSERT(h.rows() == n && count >= 0 && count < residual.size());
    SparseWeights out;
    out.cols = n;
    out.begin.assign(static_cast<std::size_t>(m) + 1, 0);
    for (const Index at : largest(residual, h, count)) {
        ++out.begin.data()[at / n + 1];
        out.column.push_back(static_cast<std::uint32_t>(at % n));
    }
    std::partial_sum(out.begin.begin(), out.begin.end(), out.begin.begin());
    MatrixD rh;
    matmul(MatrixD(residual.cast<double>()), false, h, false, rh);
    out.value.assign(out.column.size(), 0.0F);
    parallel_for(m, [&](Index i) {
        const auto first = static_cast<Index>(out.begin.data()[i]);
        const Index k = static_cast<Index>(out.begin.data()[i + 1]) - first;
        if (k == 0) return;
        const std::uint32_t* columns = out.column.data() + first;
        MatrixD part(k, k);
        VectorD rhs(k);
        for (Index a = 0; a < k; ++a) {
            const auto ca = static_cast<Index>(columns[a]);
            rhs(a) = rh(i, ca);
            for (Index b = 0; b < k; ++b) part(a, b) = h(ca, columns[b]);
        }
        const VectorD solved = part.llt().solve(rhs);
        for (Index a = 0; a < k; ++a) {
            const double plain = residual(i, columns[a]);
            // Columns that always go together leave no single solution: what the codes lack does as
            // well.
            const double x = std::isfinite(solved(a)) ? solved(a) : plain;
            out.value.data()[first + a] =
                round_to_half(static_cast<float>(std::clamp(x, -65000.0, 65000.0)));
        }
    });
    return out;
}

}  // namespace vq
