#include "vq/scale_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"

namespace vq {

namespace {

constexpr Index panel_rows = 64;

/// diag(H) over its mean on each vector of a segment, as local metrics of size (d, d); none for
/// single weights, whose nearest value is the best under any weight.
std::vector<Matrix> diagonal_metrics(const Segment& s, const VectorD& h_diagonal) {
    std::vector<Matrix> metrics;
    const Index d = s.code->dim();
    for (Index c = 0; d > 1 && c < s.cols; c += d) {
        const VectorD part = h_diagonal.segment(s.col0 + c, d) / h_diagonal.mean();
        metrics.emplace_back(part.cast<float>().asDiagonal());
    }
    return metrics;
}

/// What of `rows` rows of one segment: each vector's best code under its metric.
Matrix nearest(const Matrix& w, Index row0, Index rows, const Segment& s,
               const std::vector<Matrix>& metrics, CodedTensor& tensor) {
    const Index width = metrics.empty() ? s.cols : s.code->dim();
    Matrix what(rows, s.cols);
    Matrix part(rows, width);
    std::vector<std::uint64_t> codes(
        static_cast<std::size_t>(rows * width / s.code->dim() * s.code->words()));
    for (Index c = 0; c < s.cols; c += width) {
        const Matrix target = w.block(row0, s.col0 + c, rows, width);
        const float* metric = metrics.empty() ? nullptr : metrics[c / width].data();
        // With codes of its own, so that those of the tensor stay.
        tensor.encode_block(row0, rows, s.col0 + c, width, target.data(), metric, part.data(),
                            codes.data());
        what.middleCols(c, width) = part;
    }
    return what;
}

}  // namespace

void search_scales(const Matrix& w, const VectorD& h_diagonal, int steps, CodedTensor& tensor) {
    VQ_ASSERT(tensor.along() == Along::inputs && steps >= 1);
    const Matrix start = tensor.scales();
    const Index groups = start.cols();
    const Index width = tensor.layout().group;
    std::vector<std::vector<Matrix>> metrics;
    for (const Segment& s : tensor.segments()) metrics.push_back(diagonal_metrics(s, h_diagonal));
    Matrix best = start;
    MatrixD least =
        MatrixD::Constant(start.rows(), groups, std::numeric_limits<double>::infinity());
    for (int step = 0; step < steps; ++step) {
        const double t = steps > 1 ? static_cast<double>(step) / (steps - 1) : 0.0;
        tensor.set_scales(start * static_cast<float>(0.6 * std::pow(4.0 / 0.6, t)));
        MatrixD error(w.rows(), groups);
        parallel_for((w.rows() + panel_rows - 1) / panel_rows, [&](Index p) {
            const Index row0 = p * panel_rows;
            const Index rows = std::min(panel_rows, w.rows() - row0);
            Matrix what(rows, w.cols());
            for (std::size_t i = 0; i < metrics.size(); ++i) {
                const Segment& s = tensor.segments()[i];
                what.middleCols(s.col0, s.cols) = nearest(w, row0, rows, s, metrics[i], tensor);
            }
            const MatrixD squared = (w.middleRows(row0, rows) - what).cast<double>().cwiseAbs2();
            for (Index g = 0; g < groups; ++g) {
                const Index c0 = g * width;
                const Index n = std::min(width, w.cols() - c0);
                error.block(row0, g, rows, 1) =
                    squared.middleCols(c0, n) * h_diagonal.segment(c0, n);
            }
        });
        if (start.rows() == 1) error = MatrixD(error.colwise().sum());
        for (Index i = 0; i < least.rows(); ++i)
            for (Index g = 0; g < groups; ++g) {
                if (!(error(i, g) < least(i, g))) continue;
                least(i, g) = error(i, g);
                best(i, g) = tensor.scales()(i, g);
            }
    }
    tensor.set_scales(best);
}

}  // namespace vq
