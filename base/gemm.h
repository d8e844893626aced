// SPDX-License-Identifier: Apache-2.0
// Dense products and factorizations whose results do not depend on the number of threads: every
// product is cut into tiles of a fixed size, each tile is one single-threaded library call, and
// threads only decide who computes which tile. fp32 goes to oneDNN (its kernels are generated for
// the machine at hand; Debian's OpenBLAS does not know recent ones), fp64 to OpenBLAS.
#pragma once

#include "base/matrix.h"

namespace vq {

/// C = alpha op(A) op(B) + beta C, single-threaded, row-major; op(A) is (m, k), op(B) is (k, n);
/// lda, ldb, ldc are row strides of A, B, C as stored. beta = 0 does not read C.
void sgemm_serial(bool transpose_a, bool transpose_b, Index m, Index n, Index k, float alpha,
                  const float* a, Index lda, const float* b, Index ldb, float beta, float* c,
                  Index ldc);

/// C = op(A) op(B) on all threads. Shapes as above; resizes C.
void matmul(const Matrix& a, bool transpose_a, const Matrix& b, bool transpose_b, Matrix& c);
void matmul(const MatrixD& a, bool transpose_a, const MatrixD& b, bool transpose_b, MatrixD& c);

/// H += X^T X for X (tokens, n), H (n, n) fp64, both triangles. Products are taken in fp32 over
/// chunks of at most 256 rows of X and summed in fp64: relative error of an entry about 256 * 2^-24
/// of the sum of magnitudes in the worst case, sqrt(256) * 2^-24 typically.
void add_gram(const float* x, Index tokens, Index n, MatrixD& h);

/// C += A^T B for A (tokens, p), B (tokens, q), C (p, q) fp64; summed as in add_gram.
void add_cross(const float* a, Index p, const float* b, Index q, Index tokens, MatrixD& c);

/// Lower Cholesky factor of A (n, n), in place (strict upper part zeroed). Tiled, all threads.
/// Returns false when A is not positive definite (A is then undefined).
bool cholesky_lower(MatrixD& a);

}  // namespace vq
