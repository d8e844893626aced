// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/scale_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/cancel.h"
#include "base/error.h"
#include "base/parallel.h"

namespace vq {

namespace {

constexpr Index panel_rows = 64;
constexpr double least_size = 0.6;
constexpr int few_bits = 4;

/// The values of a code for single weights, ascending, if they are few; else none.
std::vector<float> few_values(const Code& code) {
    if (code.dim() != 1 || code.bits() > few_bits) return {};
    std::vector<float> values;
    for (std::uint64_t i = 0; i < 1ull << code.bits(); ++i) {
        if (!code.valid(&i)) continue;
        values.emplace_back();
        code.decode(&i, 1, &values.back());
    }
    std::sort(values.begin(), values.end());
    return values;
}

/// out = the nearest of values times `scale`; one pass a value, so that compilers use vectors.
void round_to_values(const float* w, Index n, float scale, const std::vector<float>& values,
                     float* out) {
    std::fill_n(out, n, values[0] * scale);
    for (std::size_t k = 1; k < values.size(); ++k) {
        const float middle = 0.5F * (values[k - 1] + values[k]) * scale;
        const float step = (values[k] - values[k - 1]) * scale;
        for (Index j = 0; j < n; ++j) out[j] += w[j] > middle ? step : 0.0F;
    }
}

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

Matrix nearest_values(const Matrix& w, Index row0, Index rows, const Segment& s,
                      const std::vector<float>& values, const CodedTensor& tensor) {
    const Index width = tensor.layout().group;
    Matrix what(rows, s.cols);
    for (Index i = 0; i < rows; ++i)
        for (Index c = 0, n = 0; c < s.cols; c += n) {
            const Index col = s.col0 + c;
            n = std::min(s.cols - c, width - col % width);
            round_to_values(&w(row0 + i, col), n, tensor.scale(row0 + i, col), values, &what(i, c));
        }
    return what;
}

/// What the search of a segment needs of its code, whatever the scales are.
struct Rounding {
    Rounding(const Segment& s, const VectorD& h_diagonal)
        : values(few_values(*s.code)), metrics(diagonal_metrics(s, h_diagonal)) {}
    std::vector<float> values;
    std::vector<Matrix> metrics;
};

/// What of `rows` rows of one segment: each vector's best code under its metric.
Matrix nearest(const Matrix& w, Index row0, Index rows, const Segment& s, const Rounding& rounding,
               CodedTensor& tensor) {
    if (!rounding.values.empty()) return nearest_values(w, row0, rows, s, rounding.values, tensor);
    const std::vector<Matrix>& metrics = rounding.metrics;
    const Index width = metrics.empty() ? s.cols : s.code->dim();
    Matrix what(rows, s.cols);
    Matrix part(rows, width);
    std::vector<std::uint64_t> codes(
        static_cast<std::size_t>(rows * width / s.code->dim() * s.code->words()));
    for (Index c = 0; c < s.cols; c += width) {
        check_cancelled();
        const Matrix target = w.block(row0, s.col0 + c, rows, width);
        const float* metric = metrics.empty() ? nullptr : metrics.data()[c / width].data();
        // With codes of its own, so that those of the tensor stay.
        tensor.encode_block(row0, rows, s.col0 + c, width, target.data(), metric, part.data(),
                            codes.data());
        what.middleCols(c, width) = part;
    }
    return what;
}

/// The largest |w| under each of the tensor's scales.
Matrix largest_weights(const Matrix& w, const CodedTensor& tensor) {
    const Matrix& scales = tensor.scales();
    const Index width = tensor.layout().group;
    Matrix largest = Matrix::Zero(scales.rows(), scales.cols());
    for (Index i = 0; i < w.rows(); ++i)
        for (Index g = 0; g < scales.cols(); ++g) {
            const Index c0 = g * width;
            const Index n = std::min(width, w.cols() - c0);
            float& most = largest(scales.rows() == 1 ? 0 : i, g);
            most = std::max(most, w.row(i).segment(c0, n).cwiseAbs().maxCoeff());
        }
    return largest;
}

}  // namespace

void search_scales(const Matrix& w, const VectorD& h_diagonal, int steps, CodedTensor& tensor) {
    VQ_ASSERT(tensor.along() == Along::inputs && steps >= 1);
    const Matrix start = tensor.scales();
    const Index groups = start.cols();
    const Index width = tensor.layout().group;
    std::vector<Rounding> roundings;
    for (const Segment& s : tensor.segments()) roundings.emplace_back(s, h_diagonal);
    // Up to where the largest weight lies inside any grid.
    const Eigen::ArrayXXd range =
        (largest_weights(w, tensor).array() / start.array()).cwiseMax(4.0F).cast<double>() /
        least_size;
    Matrix best = start;
    MatrixD least =
        MatrixD::Constant(start.rows(), groups, std::numeric_limits<double>::infinity());
    for (int step = 0; step < steps; ++step) {
        const double t = steps > 1 ? static_cast<double>(step) / (steps - 1) : 0.0;
        tensor.set_scales(start.cwiseProduct((least_size * range.pow(t)).cast<float>().matrix()));
        MatrixD error(w.rows(), groups);
        parallel_for((w.rows() + panel_rows - 1) / panel_rows, [&](Index p) {
            const Index row0 = p * panel_rows;
            const Index rows = std::min(panel_rows, w.rows() - row0);
            Matrix what(rows, w.cols());
            for (std::size_t i = 0; i < roundings.size(); ++i) {
                const Segment& s = tensor.segments()[i];
                what.middleCols(s.col0, s.cols) = nearest(w, row0, rows, s, roundings[i], tensor);
            }
            const MatrixD squared = (w.middleRows(row0, rows) - what).cast<double>().cwiseAbs2();
            for (Index g = 0; g < groups; ++g) {
                const Index c0 = g * width;
                const Index n = std::min(width, w.cols() - c0);
                error.block(row0, g, rows, 1) =
                    squared.middleCols(c0, n) * h_diagonal.segment(c0, n);
            }
        });
        // All rows share one scale: what counts is the sum of their errors.
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
