// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/proxy.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"

namespace vq {

namespace {

/// As in base/gemm.h: a panel is one product, so that results do not depend on who asks for it.
constexpr Index panel_rows = 128;

/// E H of one panel.
Matrix panel_product(const Matrix& e, const Matrix& h) {
    Matrix eh(e.rows(), h.cols());
    sgemm_serial(false, false, e.rows(), h.cols(), h.rows(), 1.0F, e.data(), e.cols(), h.data(),
                 h.cols(), 0.0F, eh.data(), h.cols());
    return eh;
}

}  // namespace

double proxy_loss(Index rows, const MatrixRows& e, const Matrix& h) {
    VQ_ASSERT(h.rows() == h.cols());
    std::vector<double> loss(static_cast<std::size_t>(rows));
    parallel_for((rows + panel_rows - 1) / panel_rows, [&](Index p) {
        const Index row0 = p * panel_rows;
        const Matrix part = e(row0, std::min(panel_rows, rows - row0));
        VQ_ASSERT(part.cols() == h.rows());
        const Matrix eh = panel_product(part, h);
        for (Index i = 0; i < part.rows(); ++i)
            loss.data()[row0 + i] = part.row(i).cast<double>().dot(eh.row(i).cast<double>());
    });
    double sum = 0;
    for (const double each : loss) sum += each;
    return sum;
}

double proxy_loss(const Matrix& e, const Matrix& h) {
    return proxy_loss(
        e.rows(), [&](Index row0, Index rows) -> Matrix { return e.middleRows(row0, rows); }, h);
}

void proxy_product(Index rows, const MatrixRows& e, const Matrix& h, Index row0, Index rows_n,
                   float* eh) {
    const Index n = h.cols();
    const Index first = row0 / panel_rows;
    const Index last = (row0 + rows_n + panel_rows - 1) / panel_rows;
    parallel_for(last - first, [&](Index i) {
        const Index p0 = (first + i) * panel_rows;
        const Matrix panel = panel_product(e(p0, std::min(panel_rows, rows - p0)), h);
        const Index from = std::max(row0, p0);
        const Index to = std::min(row0 + rows_n, p0 + panel.rows());
        std::copy_n(panel.data() + (from - p0) * n, (to - from) * n, eh + (from - row0) * n);
    });
}

/// An error of something where there was nothing is no error of 0.
static double relative(double error, double whole) {
    if (whole > 0) return error / whole;
    return error > 0 ? std::numeric_limits<double>::infinity() : 0.0;
}

TensorErrors tensor_errors(const Matrix& w, const Matrix& what, const Matrix& h) {
    const double energy = w.cast<double>().squaredNorm();
    const double reference = proxy_loss(w, h);
    TensorErrors out;
    out.rel_mse = relative((w - what).cast<double>().squaredNorm(), energy);
    const MatrixRows e = [&](Index row0, Index rows) -> Matrix {
        return w.middleRows(row0, rows) - what.middleRows(row0, rows);
    };
    out.rel_proxy = relative(proxy_loss(w.rows(), e, h), reference);
    return out;
}

}  // namespace vq
