// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/planned_tensor.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "vq/layer/column_rates.h"
#include "vq/layer/quantize_layer.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

/// What another run of columns adds to a store: the object of an array, its link and its entry in
/// the description.
constexpr std::int64_t bytes_a_run = 640;

RateRange rates_of(const Settings& s) {
    return family_of(s.code).rates(s.code);
}

/// The runs of columns next to code.rate, the finer one first.
std::vector<Segment> rate_runs(TensorShape shape, const Settings& s,
                               const std::vector<std::string>& shared) {
    const RateRange range = rates_of(s);
    const Index n = padded_shape(shape, s).cols;
    const double step = range.step.bits();
    const auto spent = static_cast<Index>(std::llround(
        (column_bits(n, s.code.rate, range) - range.least.bits() * static_cast<double>(n)) / step));
    const auto low = static_cast<int>(spent / n);
    std::vector<Segment> segments;
    Index at = 0;
    const auto add = [&](int index, Index cols) {
        if (cols == 0) return;
        const HalfBits rate = range.at(index);
        segments.push_back(
            {at,
             cols,
             family_of(s.code).make(s.code, {shape.rows, rate}),
             shared.empty() ? std::string() : shared.at(static_cast<std::size_t>(index)),
             {}});
        at += cols;
    };
    add(low + 1, spent % n);
    add(low, n - spent % n);
    return segments;
}

std::vector<Segment> code_runs(TensorShape shape, const Settings& s,
                               const std::vector<std::string>& shared) {
    const CodeFamily& family = family_of(s.code);
    const Index n = padded_shape(shape, s).cols;
    const Index outliers = outlier_columns(shape.cols, s);
    const auto name = [&](std::size_t i) { return shared.empty() ? std::string() : shared.at(i); };
    std::vector<Segment> segments;
    const CodePlace place = {.rows = shape.rows, .rate = {}};
    if (outliers > 0)
        segments.push_back(
            {0, outliers, family.make(outlier_settings(s.code), place), name(1), {}});
    if (outliers < n)
        segments.push_back({outliers, n - outliers, family.make(s.code, place), name(0), {}});
    return segments;
}

SideTerms side_terms(TensorShape shape, const SideSettings& s) {
    SideTerms side;
    if (const Index rank = std::min<Index>({s.rank, shape.rows, shape.cols}); rank > 0) {
        side.low_rank.rows = shape.rows;
        side.low_rank.cols = shape.cols;
        side.low_rank.left.resize(static_cast<std::size_t>(shape.rows * rank));
        side.low_rank.right.resize(static_cast<std::size_t>(rank * shape.cols));
        side.low_rank.scale.resize(static_cast<std::size_t>(rank));
    }
    if (const Index count = sparse_count(shape.rows, shape.cols, s.sparse); count > 0) {
        side.sparse.cols = shape.cols;
        side.sparse.begin.resize(static_cast<std::size_t>(shape.rows + 1));
        side.sparse.column.resize(static_cast<std::size_t>(count));
        side.sparse.value.resize(static_cast<std::size_t>(count));
    }
    return side;
}

}  // namespace

StoredTensor planned_tensor(const std::string& name, TensorShape shape, const Settings& s,
                            const std::vector<std::string>& shared, std::uint64_t seed) {
    // Which steps there are does not depend on the weights.
    const Transform transform =
        make_transform(s.transform, Matrix::Ones(1, shape.cols), VectorD::Ones(shape.cols), seed);
    const SideTerms side = side_terms(shape, s.side);
    const std::vector<Segment> segments =
        rates_of(s).any() ? rate_runs(shape, s, shared) : code_runs(shape, s, shared);
    return outline(name,
                   {.shape = shape,
                    .padded = padded_shape(shape, s),
                    .along = s.code.along,
                    .layout = s.scale,
                    .segments = segments,
                    .transform = transform,
                    .side = side},
                   s.method);
}

double rate_bits(TensorShape shape, const Settings& s) {
    const TensorShape padded = padded_shape(shape, s);
    return static_cast<double>(padded.rows) * column_bits(padded.cols, s.code.rate, rates_of(s));
}

double rate_within(TensorShape shape, const Settings& s, double bits) {
    const RateRange range = rates_of(s);
    VQ_ASSERT(range.any());
    const TensorShape padded = padded_shape(shape, s);
    const auto rows = static_cast<double>(padded.rows);
    const auto cols = static_cast<double>(padded.cols);
    const double rate = std::clamp(bits / (rows * cols), range.least.bits(), range.most.bits());
    return column_bits(padded.cols, rate, range) / cols;
}

std::int64_t runs_reserve(const Settings& s) {
    const RateRange range = rates_of(s);
    if (!range.any() || !s.code.waterfill) return 0;
    return bytes_a_run * std::max(0, range.count() - 2);
}

}  // namespace vq
