// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/coded_tensor.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "base/parallel.h"

namespace vq {

namespace {

/// Row chunks of gradients, each with a sum of its own; fixed, so that results are.
constexpr Index adjoint_chunks = 8;
/// As many threads as that can work side by side, with that share of a gradient in memory.
constexpr Index adjoint_chunks_at_once = 4;
/// Rows, or bands of rows that share codes, that one thread decodes.
constexpr Index decode_units = 16;

}  // namespace

CodedTensor::CodedTensor(Index rows, Index cols, Along along, ScaleLayout layout,
                         std::vector<Segment> segments)
    : rows_(rows), cols_(cols), along_(along), layout_(layout), segments_(std::move(segments)) {
    using Scope = ScaleLayout::Scope;
    if (layout_.scope != Scope::group) layout_.group = cols;
    VQ_ASSERT(layout_.group >= 1);
    const Index groups = (cols + layout_.group - 1) / layout_.group;
    scales_ = Matrix::Ones(layout_.scope == Scope::tensor ? 1 : rows, groups);
    Index at = 0;
    for (Segment& s : segments_) {
        VQ_ASSERT(s.code != nullptr && s.col0 == at);
        const Index d = s.code->dim();
        at += s.cols;
        VQ_ASSERT(along == Along::inputs ? s.cols % d == 0 : rows % d == 0);
        if (s.codes.count() == 0) s.codes = CodeArray(rows * s.cols / d, s.code->bits());
        VQ_ASSERT(s.codes.count() == rows * s.cols / d && s.codes.bits() == s.code->bits());
    }
    VQ_ASSERT(at == cols);
}

void CodedTensor::set_scales(const Matrix& scales) {
    VQ_ASSERT(scales.rows() == scales_.rows() && scales.cols() == scales_.cols());
    scales_ = scales;
    if (layout_.scope == ScaleLayout::Scope::tensor) return;
    for (Index i = 0; i < scales_.size(); ++i)
        // Below the largest of fp16, so that rounding makes no infinity of one.
        scales_.data()[i] = round_to_half(std::clamp(scales_.data()[i], -65000.0F, 65000.0F));
}

void CodedTensor::fit_scales(const Matrix& w) {
    VQ_ASSERT(w.rows() == rows_ && w.cols() == cols_);
    Matrix fitted(scales_.rows(), scales_.cols());
    const double overall = std::sqrt(w.cast<double>().squaredNorm() /
                                     std::max<double>(1.0, static_cast<double>(w.size())));
    for (Index g = 0; g < fitted.cols(); ++g) {
        const Index c0 = g * layout_.group;
        const Index width = std::min(layout_.group, cols_ - c0);
        for (Index i = 0; i < fitted.rows(); ++i) {
            double rms = overall;
            if (layout_.scope != ScaleLayout::Scope::tensor)
                rms = std::sqrt(w.row(i).segment(c0, width).cast<double>().squaredNorm() /
                                static_cast<double>(width));
            // A row of zeros keeps a scale that decodes to nearly nothing.
            if (!(rms > 1e-4 * overall)) rms = 1e-4 * overall;
            fitted(i, g) = rms > 0 ? static_cast<float>(rms) : 1.0F;
        }
    }
    set_scales(fitted);
    // fp16 may have rounded a tiny scale to zero.
    for (Index i = 0; i < scales_.size(); ++i)
        if (scales_.data()[i] == 0) scales_.data()[i] = 0x1.0p-24F;
}

void CodedTensor::clear_zero_scales(const Matrix& w) {
    VQ_ASSERT(w.rows() == rows_ && w.cols() == cols_);
    const Index rows = scales_.rows() == 1 ? rows_ : 1;
    const Index cols = scales_.cols() == 1 ? cols_ : layout_.group;
    for (Index i = 0; i < scales_.rows(); ++i)
        for (Index g = 0; g < scales_.cols(); ++g) {
            const Index c0 = g * cols;
            if ((w.block(i * rows, c0, rows, std::min(cols, cols_ - c0)).array() == 0.0F).all())
                scales_(i, g) = 0;
        }
}

const Segment& CodedTensor::segment_of(Index col) const {
    for (const Segment& s : segments_)
        if (col < s.col0 + s.cols) return s;
    VQ_ASSERT(false && "column outside the tensor");
    return segments_.back();
}
Segment& CodedTensor::segment_of(Index col) {
    return const_cast<Segment&>(std::as_const(*this).segment_of(col));
}

Index CodedTensor::row_unit() const {
    if (along_ == Along::inputs) return 1;
    Index unit = 1;
    for (const Segment& s : segments_) unit = std::lcm(unit, static_cast<Index>(s.code->dim()));
    return unit;
}

Index CodedTensor::code_index(const Segment& s, Index row, Index col) const {
    const Index d = s.code->dim();
    return along_ == Along::inputs ? row * (s.cols / d) + (col - s.col0) / d
                                   : row / d * s.cols + (col - s.col0);
}

void CodedTensor::encode_block(Index row0, Index rows_n, Index col0, Index cols_n,
                               const float* target, const float* metric, float* what,
                               std::uint64_t* codes) {
    Segment& s = segment_of(col0);
    const Code& code = *s.code;
    const Index d = code.dim();
    const Index words = code.words();
    VQ_ASSERT(col0 + cols_n <= s.col0 + s.cols);
    const auto search = [&](const float* x, Index n, const float* local, std::uint64_t* found,
                            float* xhat) {
        if (codes != nullptr)
            code.improve(x, n, local, found, xhat);
        else
            code.encode(x, n, local, found, xhat);
    };
    if (along_ == Along::inputs) {
        VQ_ASSERT(cols_n % d == 0);
        const Index groups = cols_n / d;
        std::vector<float> x(static_cast<std::size_t>(rows_n * d));
        std::vector<float> xhat(x.size());
        std::vector<float> local(static_cast<std::size_t>(d * d));
        std::vector<std::uint64_t> found(static_cast<std::size_t>(rows_n * words));
        // Columns first: all rows have the same local metric there, for which an encoder prepares
        // once.
        for (Index g = 0; g < groups; ++g) {
            const Index c = g * d;
            for (Index i = 0; i < rows_n; ++i) {
                const float inverse = 1.0F / scale(row0 + i, col0 + c);
                float* xi = x.data() + i * d;
                for (Index j = 0; j < d; ++j) xi[j] = target[i * cols_n + c + j] * inverse;
            }
            if (metric != nullptr)
                for (Index a = 0; a < d; ++a)
                    for (Index b = 0; b < d; ++b)
                        local.data()[a * d + b] = metric[(c + a) * cols_n + c + b];
            for (Index i = 0; codes != nullptr && i < rows_n; ++i)
                s.codes.read(code_index(s, row0 + i, col0 + c), 1, found.data() + i * words);
            // The nearest value to a single weight is the best under any weight.
            search(x.data(), rows_n, metric != nullptr && d > 1 ? local.data() : nullptr,
                   found.data(), xhat.data());
            for (Index i = 0; i < rows_n; ++i) {
                const float si = scale(row0 + i, col0 + c);
                const float* hat = xhat.data() + i * d;
                for (Index j = 0; j < d; ++j) what[i * cols_n + c + j] = hat[j] * si;
                if (codes != nullptr)
                    std::copy_n(found.data() + i * words, words, codes + (i * groups + g) * words);
                else
                    s.codes.write(code_index(s, row0 + i, col0 + c), 1, found.data() + i * words);
            }
        }
        return;
    }
    VQ_ASSERT(rows_n % d == 0 && row0 % d == 0);
    const Index vectors = rows_n / d;
    std::vector<float> x(static_cast<std::size_t>(rows_n * cols_n));
    std::vector<float> xhat(x.size());
    std::vector<std::uint64_t> found(static_cast<std::size_t>(vectors * cols_n * words));
    // Vector (q, c): rows q*d .. q*d+d-1 of column c. H is constant inside it: plain L2 is exact.
    for (Index q = 0; q < vectors; ++q)
        for (Index c = 0; c < cols_n; ++c)
            for (Index j = 0; j < d; ++j)
                x.data()[(q * cols_n + c) * d + j] =
                    target[(q * d + j) * cols_n + c] / scale(row0 + q * d + j, col0 + c);
    for (Index q = 0; codes != nullptr && q < vectors; ++q)
        s.codes.read(code_index(s, row0 + q * d, col0), cols_n, found.data() + q * cols_n * words);
    search(x.data(), vectors * cols_n, nullptr, found.data(), xhat.data());
    for (Index q = 0; q < vectors; ++q)
        for (Index c = 0; c < cols_n; ++c) {
            const Index v = q * cols_n + c;
            for (Index j = 0; j < d; ++j)
                what[(q * d + j) * cols_n + c] =
                    xhat.data()[v * d + j] * scale(row0 + q * d + j, col0 + c);
        }
    for (Index q = 0; q < vectors; ++q)
        if (codes != nullptr)
            std::copy_n(found.data() + q * cols_n * words, cols_n * words,
                        codes + q * cols_n * words);
        else
            s.codes.write(code_index(s, row0 + q * d, col0), cols_n,
                          found.data() + q * cols_n * words);
}

void CodedTensor::place(const Segment& s, Index unit, const float* xhat, Index row0,
                        Matrix& out) const {
    const bool inputs = along_ == Along::inputs;
    const Index d = s.code->dim();
    const Index tall = inputs ? 1 : d;
    for (Index j = 0; j < tall; ++j) {
        const Index row = unit * tall + j;
        if (row < row0 || row >= row0 + out.rows()) continue;
        for (Index c = 0; c < s.cols; ++c)
            out(row - row0, s.col0 + c) = xhat[inputs ? c : c * d + j] * scale(row, s.col0 + c);
    }
}

Matrix CodedTensor::decode_rows(Index row0, Index rows_n) const {
    return decode_rows_with({}, row0, rows_n);
}

Matrix CodedTensor::decode_rows_with(const std::vector<float>& p, Index row0, Index rows_n) const {
    VQ_ASSERT(row0 >= 0 && rows_n >= 1 && row0 + rows_n <= rows_);
    Matrix out(rows_n, cols_);
    auto parameter0 = p.begin();
    for (const Segment& s : segments_) {
        const Index d = s.code->dim();
        const Index tall = along_ == Along::inputs ? 1 : d;
        const Index per_unit = s.cols * tall / d;
        std::vector<std::uint64_t> codes(static_cast<std::size_t>(per_unit * s.code->words()));
        std::vector<float> xhat(static_cast<std::size_t>(per_unit * d));
        std::vector<float> own;
        if (!p.empty()) {
            const auto size = static_cast<Index>(s.code->parameters().size());
            own.assign(parameter0, parameter0 + size);
            parameter0 += size;
        }
        for (Index u = row0 / tall; u * tall < row0 + rows_n; ++u) {
            s.codes.read(u * per_unit, per_unit, codes.data());
            if (p.empty())
                s.code->decode(codes.data(), per_unit, xhat.data());
            else
                s.code->decode_with(own, codes.data(), per_unit, xhat.data());
            place(s, u, xhat.data(), row0, out);
        }
    }
    return out;
}

Matrix CodedTensor::decode() const {
    Matrix out(rows_, cols_);
    const Index panel = decode_units * row_unit();
    parallel_for((rows_ + panel - 1) / panel, [&](Index i) {
        const Index row0 = i * panel;
        const Index rows_n = std::min(panel, rows_ - row0);
        out.middleRows(row0, rows_n) = decode_rows(row0, rows_n);
    });
    return out;
}

std::vector<float> CodedTensor::parameters() const {
    std::vector<float> all;
    for (const Segment& s : segments_) {
        const std::vector<float> p = s.code->parameters();
        all.insert(all.end(), p.begin(), p.end());
    }
    return all;
}

std::vector<double> CodedTensor::adjoint(const FillRows& fill) const {
    std::size_t size = 0;
    for (const Segment& s : segments_) size += s.code->parameters().size();
    std::vector<std::vector<double>> parts(adjoint_chunks, std::vector<double>(size, 0.0));
    // Some chunks at a time, and g for their rows alone.
    Matrix g;
    for (Index first = 0; first < adjoint_chunks; first += adjoint_chunks_at_once) {
        Index row0 = rows_;
        Index row1 = 0;
        for (const Segment& s : segments_) {
            row0 = std::min(row0, chunk_row(s, first));
            row1 = std::max(row1, chunk_row(s, first + adjoint_chunks_at_once));
        }
        if (row0 >= row1) break;
        g.resize(row1 - row0, cols_);
        fill(row0, row1 - row0, g.data());
        parallel_for(adjoint_chunks_at_once, [&](Index i) {
            double* sum = parts.data()[first + i].data();
            for (const Segment& s : segments_) {
                add_adjoint(s, chunk_row(s, first + i), chunk_row(s, first + i + 1), g, row0, sum);
                sum += s.code->parameters().size();
            }
        });
    }
    std::vector<double> total(size, 0.0);
    for (const std::vector<double>& part : parts)
        for (std::size_t i = 0; i < size; ++i) total[i] += part[i];
    return total;
}

Index CodedTensor::chunk_row(const Segment& s, Index chunk) const {
    const Index tall = along_ == Along::inputs ? 1 : s.code->dim();
    const Index units = rows_ / tall;
    return std::min(units, (units + adjoint_chunks - 1) / adjoint_chunks * chunk) * tall;
}

void CodedTensor::add_adjoint(const Segment& s, Index from, Index to, const Matrix& g, Index row0,
                              double* sum) const {
    const Index d = s.code->dim();
    const Index words = s.code->words();
    const bool inputs = along_ == Along::inputs;
    const Index tall = inputs ? 1 : d;
    const Index per_unit = s.cols * tall / d;
    std::vector<float> gv(static_cast<std::size_t>(d));
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(per_unit * words));
    for (Index u = from / tall; u * tall < to; ++u) {
        s.codes.read(u * per_unit, per_unit, codes.data());
        for (Index v = 0; v < per_unit; ++v) {
            for (Index j = 0; j < d; ++j) {
                const Index row = inputs ? u : u * d + j;
                const Index col = s.col0 + (inputs ? v * d + j : v);
                gv.data()[j] = g(row - row0, col) * scale(row, col);
            }
            s.code->add_adjoint(codes.data() + v * words, gv.data(), sum);
        }
    }
}

}  // namespace vq
