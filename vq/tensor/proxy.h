// SPDX-License-Identifier: Apache-2.0
// The proxy loss of second-order quantization, tr(E H E^T) with E = W - What and H = E[x x^T]: the
// expected squared change of a layer's output (OBQ/GPTQ 2210.17323, AQLM 2401.06118).
#pragma once

#include <functional>

#include "base/matrix.h"

namespace vq {

/// tr(E H E^T), E (m, n), H (n, n) symmetric. Products in fp32, sums in fp64 in a fixed order:
/// relative error about sqrt(n) * 2^-24.
double proxy_loss(const Matrix& e, const Matrix& h);

/// Rows [row0, row0 + rows) of a matrix.
using MatrixRows = std::function<Matrix(Index row0, Index rows)>;

/// The same of a matrix with h's width and `rows` rows that is never in memory as a whole; asked
/// for from several threads, panels of 128 rows at a time.
double proxy_loss(Index rows, const MatrixRows& e, const Matrix& h);
/// E H of the same, rows [row0, row0 + rows_n), in the panels of proxy_loss() whatever row0 is.
void proxy_product(Index rows, const MatrixRows& e, const Matrix& h, Index row0, Index rows_n,
                   float* eh);

/// The two figures that every report carries.
struct TensorErrors {
    double rel_mse = 0;    ///< |W - What|^2 / |W|^2
    double rel_proxy = 0;  ///< tr(E H E^T) / tr(W H W^T)
};
TensorErrors tensor_errors(const Matrix& w, const Matrix& what, const Matrix& h);

}  // namespace vq
