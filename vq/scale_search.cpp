#include "vq/scale_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"

namespace vq {

namespace {

constexpr Index panel_rows = 64;

}  // namespace

void search_scales(const Matrix& w, const VectorD& h_diagonal, int steps, CodedTensor& tensor) {
    VQ_ASSERT(tensor.along() == Along::inputs && steps >= 1);
    const Matrix start = tensor.scales();
    const Index groups = start.cols();
    const Index width = tensor.layout().group;
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
            for (const Segment& s : tensor.segments()) {
                const Matrix target = w.block(row0, s.col0, rows, s.cols);
                Matrix part(rows, s.cols);
                std::vector<std::uint64_t> codes(
                    static_cast<std::size_t>(rows * s.cols / s.code->dim()));
                tensor.encode_block(row0, rows, s.col0, s.cols, target.data(), nullptr, part.data(),
                                    codes.data());
                what.middleCols(s.col0, s.cols) = part;
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
