// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/layer_codes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "vq/layer/column_rates.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

Index round_up(Index n, Index unit) {
    return (n + unit - 1) / unit * unit;
}

/// Settings of the code for outliers or for the rest.
CodeSettings code_settings(const Settings& s, bool outliers) {
    return outliers ? outlier_settings(s.code) : s.code;
}

/// At most `most` of n vectors: one drawn from each of `most` equal stretches, so that the choice
/// does not fall into step with the columns.
std::vector<Index> pick_vectors(Index n, Index most, std::uint64_t seed) {
    std::vector<Index> picked(static_cast<std::size_t>(std::min(n, most)));
    if (n <= most) {
        std::iota(picked.begin(), picked.end(), Index{0});
        return picked;
    }
    for (Index i = 0; i < most; ++i) {
        const double place =
            static_cast<double>(i) + random_uniform(seed, static_cast<std::uint64_t>(i));
        picked.data()[i] = std::min(
            n - 1, static_cast<Index>(place * static_cast<double>(n) / static_cast<double>(most)));
    }
    return picked;
}

/// At most `most` vectors of columns [col0, col0 + cols) divided by their scales, with weights from
/// diag(H).
void gather_vectors(const Matrix& x, const CodedTensor& tensor, Index col0, Index cols, Index d,
                    const VectorD& h_diagonal, Index most, std::uint64_t seed, Matrix& vectors,
                    std::vector<float>& weights) {
    const bool inputs = tensor.along() == Along::inputs;
    const Index units = inputs ? x.rows() : x.rows() / d;
    const Index per_unit = inputs ? cols / d : cols;
    const double mean = h_diagonal.mean();
    const std::vector<Index> picked = pick_vectors(units * per_unit, most, seed);
    vectors.resize(static_cast<Index>(picked.size()), d);
    weights.resize(picked.size());
    for (std::size_t i = 0; i < picked.size(); ++i) {
        const Index u = picked[i] / per_unit;
        const Index v = picked[i] % per_unit;
        double weight = 0;
        for (Index j = 0; j < d; ++j) {
            const Index row = inputs ? u : u * d + j;
            const Index col = col0 + (inputs ? v * d + j : v);
            vectors(static_cast<Index>(i), j) = x(row, col) / tensor.scale(row, col);
            weight += h_diagonal(col);
        }
        // In units of the mean: k-means wants weights around 1, and diag(H) has any magnitude.
        weights[i] = static_cast<float>(weight / static_cast<double>(d) / mean);
    }
}

/// One segment a rate, as the columns' share of the loss wants it. rows: of W, unpadded.
std::vector<Segment> rate_segments(const Settings& s, const SharedCodes& shared, Index rows,
                                   const BlockLDL& ldl) {
    const CodeFamily& family = family_of(s.code);
    VectorD d(static_cast<Index>(ldl.metrics.size()));
    // D of the factorization, what a column's error costs once those after it have made up for it.
    for (Index k = 0; k < d.size(); ++k) d(k) = ldl.metrics.data()[k](0, 0);
    const RateRange all = family.rates(s.code);
    const std::vector<double> distortions = family.distortions(s.code, shared);
    RateRange range = all;
    if (!s.code.waterfill) {
        const double step = all.step.bits();
        range.least = {all.step.halves * static_cast<int>(std::floor(s.code.rate / step))};
        range.most = {all.step.halves * static_cast<int>(std::ceil(s.code.rate / step))};
    }
    const auto first = distortions.begin() + all.index_of(range.least);
    std::vector<Segment> segments;
    Index at = 0;
    for (const RateRun& run :
         plan_column_rates(d, s.code.rate, {first, first + range.count()}, range)) {
        SharedCode code;
        if (shared.empty())
            code.code = family.make(s.code, {rows, run.rate});
        else
            code = shared.at(static_cast<std::size_t>(all.index_of(run.rate)));
        segments.push_back({at, run.cols, code.code, code.name, {}});
        at += run.cols;
    }
    return segments;
}

/// One code for all columns, the tensor's own (to be trained if it has codebooks) or a shared one,
/// with outlier columns and their code before it.
std::vector<Segment> vector_segments(const Matrix& w, const Settings& s, const SharedCodes& shared,
                                     Index unpadded_cols) {
    const auto code = [&](std::size_t which) -> CodePtr {
        if (!shared.empty()) return shared.at(which).code;
        return family_of(s.code).make(code_settings(s, which == 1), {.rows = w.rows(), .rate = {}});
    };
    const auto shared_name = [&](std::size_t which) {
        return shared.empty() ? std::string() : shared.at(which).name;
    };
    std::vector<Segment> segments;
    const Index outliers = outlier_columns(unpadded_cols, s);
    if (outliers > 0) segments.push_back({0, outliers, code(1), shared_name(1), {}});
    if (outliers < w.cols())
        segments.push_back({outliers, w.cols() - outliers, code(0), shared_name(0), {}});
    return segments;
}

CodedTensor make_tensor(const Matrix& w, const Settings& s, std::vector<Segment> segments) {
    CodedTensor tensor(w.rows(), w.cols(), s.code.along, s.scale, std::move(segments));
    if (!family_of(s.code).own_scales) tensor.fit_scales(w);
    return tensor;
}

}  // namespace

Index feedback_block(const Settings& s) {
    if (s.block > 0) return s.block;
    return s.code.along == Along::inputs ? s.code.dim : 1;
}

void train_codes(const Matrix& x, const VectorD& h_diagonal, const Settings& s, std::uint64_t seed,
                 const Progress& progress, CodedTensor& tensor) {
    const CodeFamily& family = family_of(s.code);
    for (std::size_t i = 0; i < tensor.segments().size(); ++i) {
        Segment& segment = tensor.segments()[i];
        if (!segment.shared.empty() || family.train == nullptr) continue;
        const bool outliers = tensor.segments().size() == 2 && i == 0;
        Matrix vectors;
        std::vector<float> weights;
        gather_vectors(x, tensor, segment.col0, segment.cols, segment.code->dim(), h_diagonal,
                       s.code.kmeans.samples, seed + i, vectors, weights);
        segment.code =
            family.train({vectors, weights.data()}, code_settings(s, outliers), seed + i, progress);
    }
}

CodedTensor uncoded_tensor(const Matrix& w, TensorShape unpadded, const Settings& s,
                           const SharedCodes& shared, const BlockLDL& ldl) {
    const bool rates = family_of(s.code).rates(s.code).any();
    return make_tensor(w, s,
                       rates ? rate_segments(s, shared, unpadded.rows, ldl)
                             : vector_segments(w, s, shared, unpadded.cols));
}

Index outlier_columns(Index n, const Settings& s) {
    if (!(s.code.outliers > 0)) return 0;
    const Index unit = s.code.along == Along::inputs
                           ? std::lcm<Index>(s.code.outlier_dim, feedback_block(s))
                           : feedback_block(s);
    VQ_ASSERT(unit >= 1);
    const auto wanted = static_cast<Index>(std::llround(s.code.outliers * static_cast<double>(n)));
    // Whole vectors and whole feedback blocks, since both codes meet at this column.
    const Index rounded = std::max(unit, wanted / unit * unit);
    return rounded < n ? rounded : 0;
}

TensorShape padded_shape(TensorShape shape, const Settings& s) {
    const Index unit =
        std::lcm(feedback_block(s), s.code.along == Along::inputs ? s.code.dim : Index{1});
    return {round_up(shape.rows, family_of(s.code).row_unit(s.code, shape.rows)),
            round_up(shape.cols, unit)};
}

Matrix sample_vectors(const Matrix& w, const Settings& settings, int dim, Index count,
                      std::uint64_t seed) {
    Settings plain = settings;
    plain.code.dim = dim;
    plain.code.outliers = 0;
    plain.block = 0;
    Matrix wt = w;
    make_transform(plain.transform, w, VectorD::Ones(w.cols()), seed).apply(wt);
    const TensorShape padded = padded_shape({w.rows(), w.cols()}, plain);
    Matrix x = Matrix::Zero(padded.rows, padded.cols);
    x.topLeftCorner(w.rows(), w.cols()) = wt;
    const CodedTensor tensor = make_tensor(x, plain, vector_segments(x, plain, {}, w.cols()));
    Matrix vectors;
    std::vector<float> weights;
    gather_vectors(x, tensor, 0, x.cols(), dim, VectorD::Ones(x.cols()), count, seed, vectors,
                   weights);
    return vectors;
}

}  // namespace vq
