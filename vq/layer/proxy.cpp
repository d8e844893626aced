// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/proxy.h"

#include "base/error.h"
#include "base/gemm.h"

namespace vq {

double proxy_loss(const Matrix& e, const Matrix& h) {
    VQ_ASSERT(e.cols() == h.rows() && h.rows() == h.cols());
    Matrix eh;
    matmul(e, false, h, false, eh);
    double sum = 0;
    for (Index i = 0; i < e.rows(); ++i)
        sum += e.row(i).cast<double>().dot(eh.row(i).cast<double>());
    return sum;
}

TensorErrors tensor_errors(const Matrix& w, const Matrix& what, const Matrix& h) {
    const Matrix e = w - what;
    const double energy = w.cast<double>().squaredNorm();
    const double reference = proxy_loss(w, h);
    TensorErrors out;
    out.rel_mse = energy > 0 ? e.cast<double>().squaredNorm() / energy : 0.0;
    out.rel_proxy = reference > 0 ? proxy_loss(e, h) / reference : 0.0;
    return out;
}

}  // namespace vq
