// SPDX-License-Identifier: Apache-2.0
#include "base/gemm.h"

#include <cblas.h>
#include <dnnl.h>
#include <lapacke.h>
#include <omp.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

namespace vq {

namespace {

constexpr Index row_panel = 128;  // rows of C a tile; fixed, so that results are
constexpr Index gram_tile = 192;  // tile side of X^T X; 192^2 fp64 stays in L2
constexpr Index gram_rows = 256;  // rows of X summed in fp32 before fp64
constexpr Index cholesky_tile = 192;

/// OpenBLAS keeps one thread pool for the whole process; our tiles need each call on its own
/// thread.
void make_blas_serial() {
    if (openblas_get_num_threads() != 1) openblas_set_num_threads(1);
}

Index panels(Index n, Index size) {
    return (n + size - 1) / size;
}

void dgemm_serial(bool ta, bool tb, Index m, Index n, Index k, double alpha, const double* a,
                  Index lda, const double* b, Index ldb, double beta, double* c, Index ldc) {
    cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                static_cast<blasint>(m), static_cast<blasint>(n), static_cast<blasint>(k), alpha, a,
                static_cast<blasint>(lda), b, static_cast<blasint>(ldb), beta, c,
                static_cast<blasint>(ldc));
}

template <class M, class Gemm>
void matmul_panels(const M& a, bool ta, const M& b, bool tb, M& c, const Gemm& gemm) {
    const Index m = ta ? a.cols() : a.rows();
    const Index k = ta ? a.rows() : a.cols();
    const Index n = tb ? b.rows() : b.cols();
    VQ_ASSERT((tb ? b.cols() : b.rows()) == k);
    VQ_ASSERT(&c != &a && &c != &b);
    c.resize(m, n);
    if (c.size() == 0) return;
    if (k == 0) {
        c.setZero();
        return;
    }
    parallel_for(panels(m, row_panel), [&](Index p) {
        const Index i0 = p * row_panel;
        const Index rows = std::min(row_panel, m - i0);
        const auto* ap = ta ? a.data() + i0 : a.data() + i0 * a.cols();
        gemm(ta, tb, rows, n, k, ap, a.cols(), b.data(), b.cols(), c.data() + i0 * n, n);
    });
}

}  // namespace

void sgemm_serial(bool transpose_a, bool transpose_b, Index m, Index n, Index k, float alpha,
                  const float* a, Index lda, const float* b, Index ldb, float beta, float* c,
                  Index ldc) {
    const ThreadScope serial(1);
    const auto status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha,
                                   a, lda, b, ldb, beta, c, ldc);
    VQ_ASSERT(status == dnnl_success);
}

void matmul(const Matrix& a, bool transpose_a, const Matrix& b, bool transpose_b, Matrix& c) {
    matmul_panels(a, transpose_a, b, transpose_b, c,
                  [](bool ta, bool tb, Index m, Index n, Index k, const float* pa, Index lda,
                     const float* pb, Index ldb, float* pc, Index ldc) {
                      sgemm_serial(ta, tb, m, n, k, 1.0F, pa, lda, pb, ldb, 0.0F, pc, ldc);
                  });
}

void matmul(const MatrixD& a, bool transpose_a, const MatrixD& b, bool transpose_b, MatrixD& c) {
    make_blas_serial();
    matmul_panels(a, transpose_a, b, transpose_b, c,
                  [](bool ta, bool tb, Index m, Index n, Index k, const double* pa, Index lda,
                     const double* pb, Index ldb, double* pc, Index ldc) {
                      dgemm_serial(ta, tb, m, n, k, 1.0, pa, lda, pb, ldb, 0.0, pc, ldc);
                  });
}

void add_gram(const float* x, Index tokens, Index n, MatrixD& h) {
    VQ_ASSERT(h.rows() == n && h.cols() == n);
    const Index tiles = panels(n, gram_tile);
    parallel_for(tiles * (tiles + 1) / 2, [&](Index t) {
        // Tile (i, j), j <= i, of the lower triangle.
        Index i = 0;
        while ((i + 1) * (i + 2) / 2 <= t) ++i;
        const Index j = t - i * (i + 1) / 2;
        // A tile belongs to one thread from beginning to end: its sums are added in the order of
        // the tokens, whatever the number of threads.
        const Index i0 = i * gram_tile;
        const Index j0 = j * gram_tile;
        const Index mi = std::min(gram_tile, n - i0);
        const Index mj = std::min(gram_tile, n - j0);
        std::vector<float> product(static_cast<std::size_t>(mi * mj));
        for (Index r = 0; r < tokens; r += gram_rows) {
            const Index rows = std::min(gram_rows, tokens - r);
            const float* xr = x + r * n;
            // Products in fp32, which is what costs time, of so few rows that they keep 20 bits;
            // long sums in fp64.
            sgemm_serial(true, false, mi, mj, rows, 1.0F, xr + i0, n, xr + j0, n, 0.0F,
                         product.data(), mj);
            for (Index a = 0; a < mi; ++a)
                for (Index b = 0; b < mj; ++b)
                    h(i0 + a, j0 + b) += static_cast<double>(product.data()[a * mj + b]);
        }
        // Mirror: the upper triangle is a copy, so that H stays exactly symmetric.
        for (Index a = 0; a < mi; ++a)
            for (Index b = 0; b < mj && j0 + b < i0 + a; ++b) h(j0 + b, i0 + a) = h(i0 + a, j0 + b);
    });
}

void add_cross(const float* a, Index p, const float* b, Index q, Index tokens, MatrixD& c) {
    VQ_ASSERT(c.rows() == p && c.cols() == q);
    const Index across = panels(q, gram_tile);
    parallel_for(panels(p, gram_tile) * across, [&](Index t) {
        const Index i0 = t / across * gram_tile;
        const Index j0 = t % across * gram_tile;
        const Index mi = std::min(gram_tile, p - i0);
        const Index mj = std::min(gram_tile, q - j0);
        std::vector<float> product(static_cast<std::size_t>(mi * mj));
        for (Index r = 0; r < tokens; r += gram_rows) {
            sgemm_serial(true, false, mi, mj, std::min(gram_rows, tokens - r), 1.0F, a + r * p + i0,
                         p, b + r * q + j0, q, 0.0F, product.data(), mj);
            for (Index x = 0; x < mi; ++x)
                for (Index y = 0; y < mj; ++y)
                    c(i0 + x, j0 + y) += static_cast<double>(product.data()[x * mj + y]);
        }
    });
}

bool cholesky_lower(MatrixD& a) {
    VQ_ASSERT(a.rows() == a.cols());
    make_blas_serial();
    const Index n = a.rows();
    const Index tiles = panels(n, cholesky_tile);
    const auto at = [&](Index i, Index j) {
        return a.data() + i * cholesky_tile * n + j * cholesky_tile;
    };
    const auto side = [&](Index i) { return std::min(cholesky_tile, n - i * cholesky_tile); };
    for (Index k = 0; k < tiles; ++k) {
        // Row-major lower is column-major upper: A = U^T U with U^T = L.
        const lapack_int info =
            // The variant without LAPACKE's own pass over the tile in search of NaN.
            LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', static_cast<lapack_int>(side(k)), at(k, k),
                                static_cast<lapack_int>(n));
        if (info != 0) return false;
        parallel_for(tiles - k - 1, [&](Index r) {
            const Index i = k + 1 + r;
            cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
                        static_cast<blasint>(side(i)), static_cast<blasint>(side(k)), 1.0, at(k, k),
                        static_cast<blasint>(n), at(i, k), static_cast<blasint>(n));
        });
        const Index rest = tiles - k - 1;
        // Right-looking: every tile of what is left is updated on its own, so that all threads have
        // work until the last few columns of tiles.
        parallel_for(rest * (rest + 1) / 2, [&](Index t) {
            Index r = 0;
            while ((r + 1) * (r + 2) / 2 <= t) ++r;
            const Index i = k + 1 + r;
            const Index j = k + 1 + t - r * (r + 1) / 2;
            dgemm_serial(false, true, side(i), side(j), side(k), -1.0, at(i, k), n, at(j, k), n,
                         1.0, at(i, j), n);
        });
    }
    a.triangularView<Eigen::StrictlyUpper>().setZero();
    return true;
}

}  // namespace vq
