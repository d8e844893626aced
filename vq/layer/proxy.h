// SPDX-License-Identifier: Apache-2.0
// The proxy loss of second-order quantization, tr(E H E^T) with E = W - What and H = E[x x^T]: the
// expected squared change of a layer's output (OBQ/GPTQ 2210.17323, AQLM 2401.06118).
#pragma once

#include "base/matrix.h"

namespace vq {

/// tr(E H E^T), E (m, n), H (n, n) symmetric. Products in fp32, sums in fp64 in a fixed order:
/// relative error about sqrt(n) * 2^-24.
double proxy_loss(const Matrix& e, const Matrix& h);

/// The two figures that every report carries.
struct TensorErrors {
    double rel_mse = 0;    ///< |W - What|^2 / |W|^2
    double rel_proxy = 0;  ///< tr(E H E^T) / tr(W H W^T)
};
TensorErrors tensor_errors(const Matrix& w, const Matrix& what, const Matrix& h);

}  // namespace vq
