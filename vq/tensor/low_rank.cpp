// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/low_rank.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/gemm.h"
#include "base/rng.h"
#include "vq/tensor/proxy.h"

namespace vq {

namespace {

/// Extra directions and steps of the subspace iteration. Residuals of a quantizer have flat
/// spectra, so that more steps only exchange directions of equal worth.
constexpr Index extra_directions = 8;
constexpr int power_steps = 6;

MatrixD orthonormal_columns(const MatrixD& a) {
    const Eigen::HouseholderQR<MatrixD> qr(a);
    return qr.householderQ() * MatrixD::Identity(a.rows(), a.cols());
}

/// Orthonormal basis, size (cols, rank), of the leading right singular vectors of A.
MatrixD leading_directions(const MatrixD& a, Index rank, std::uint64_t seed) {
    const Index width = std::min(std::min(a.rows(), a.cols()), rank + extra_directions);
    MatrixD v(a.cols(), width);
    for (Index i = 0; i < v.size(); ++i)
        v.data()[i] = random_normal(seed, static_cast<std::uint64_t>(i));
    MatrixD u;
    MatrixD back;
    for (int step = 0; step < power_steps; ++step) {
        matmul(a, false, orthonormal_columns(v), false, u);
        matmul(a, true, orthonormal_columns(u), false, back);
        v.swap(back);
    }
    // Rotate to singular vectors: of A^T Q = W S Z^T the first columns of W.
    const MatrixD q = orthonormal_columns(v);
    matmul(a, false, q, false, u);
    MatrixD gram;
    matmul(u, true, u, false, gram);
    const Eigen::SelfAdjointEigenSolver<MatrixD> eigen(gram);
    return q * eigen.eigenvectors().rowwise().reverse().leftCols(std::min(rank, width));
}

/// Rounds a component to 8 bits; the step is 0 for a component of zeros.
template <class Component>
double round_component(const Component& x, std::int8_t* codes, Index stride) {
    const double largest = x.cwiseAbs().maxCoeff();
    const double step = largest > 0 ? largest / 127 : 0;
    for (Index i = 0; i < x.size(); ++i)
        codes[i * stride] =
            step > 0 ? static_cast<std::int8_t>(std::lround(x(i) / step)) : std::int8_t{0};
    return step;
}

}  // namespace

Matrix LowRank::dense() const {
    Matrix l(rows, rank());
    Matrix r(rank(), cols);
    for (Index i = 0; i < rows; ++i)
        for (Index k = 0; k < rank(); ++k)
            l(i, k) = scale.data()[k] * static_cast<float>(left.data()[i * rank() + k]);
    for (Index i = 0; i < r.size(); ++i) r.data()[i] = static_cast<float>(right.data()[i]);
    Matrix out = Matrix::Zero(rows, cols);
    if (rank() > 0) matmul(l, false, r, false, out);
    return out;
}

LowRank fit_low_rank(const Matrix& residual, const MatrixD& h, Index rank, std::uint64_t seed) {
    VQ_ASSERT(residual.cols() == h.rows());
    LowRank out;
    out.rows = residual.rows();
    out.cols = residual.cols();
    rank = std::min(rank, std::min(out.rows, out.cols));
    if (rank <= 0) return out;
    MatrixD factor = h;
    if (!cholesky_lower(factor)) return out;
    const MatrixD r = residual.cast<double>();
    MatrixD a;
    matmul(r, false, factor, false, a);
    MatrixD v = leading_directions(a, rank, seed);
    // Rows of the right factor: V^T C^-1, by C^T X = V.
    factor.triangularView<Eigen::Lower>().transpose().solveInPlace(v);
    out.right.resize(static_cast<std::size_t>(rank * out.cols));
    MatrixD right(rank, out.cols);
    for (Index k = 0; k < rank; ++k) {
        std::int8_t* codes = &out.right[static_cast<std::size_t>(k * out.cols)];
        round_component(v.col(k), codes, 1);
        for (Index j = 0; j < out.cols; ++j) right(k, j) = codes[j];
    }
    // Left factor for the right one as rounded: R H B^T (B H B^T)^-1.
    MatrixD bh;
    matmul(right, false, h, false, bh);
    MatrixD normal;
    matmul(bh, false, right, true, normal);
    normal.diagonal().array() += 1e-12 * normal.diagonal().mean();
    MatrixD rhs;
    matmul(bh, false, r, true, rhs);
    const MatrixD left = normal.ldlt().solve(rhs);  // (rank, rows)
    if (!left.allFinite()) return {out.rows, out.cols, {}, {}, {}};
    out.left.resize(static_cast<std::size_t>(out.rows * rank));
    out.scale.resize(static_cast<std::size_t>(rank));
    for (Index k = 0; k < rank; ++k)
        out.scale.data()[k] =
            static_cast<float>(round_component(left.row(k), out.left.data() + k, rank));
    const Matrix hf = h.cast<float>();
    if (!(proxy_loss(Matrix(residual - out.dense()), hf) < proxy_loss(residual, hf)))
        return {out.rows, out.cols, {}, {}, {}};
    return out;
}

}  // namespace vq
