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
        s.codes.assign(static_cast<std::size_t>(rows * s.cols / d * s.code->words()), 0);
    }
    VQ_ASSERT(at == cols);
}

void CodedTensor::set_scales(const Matrix& scales) {
    VQ_ASSERT(scales.rows() == scales_.rows() && scales.cols() == scales_.cols());
    scales_ = scales;
    if (layout_.scope == ScaleLayout::Scope::tensor) return;
    for (Index i = 0; i < scales_.size(); ++i)
        scales_.data()[i] = round_to_half(std::clamp(scales_.data()[i], -65000.0F, 65000.0F));
}

void CodedTensor::fit_scales(const Matrix& w, float multiplier) {
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
            fitted(i, g) = rms > 0 ? static_cast<float>(rms) * multiplier : 1.0F;
        }
    }
    set_scales(fitted);
    // fp16 may have rounded a tiny scale to zero.
    for (Index i = 0; i < scales_.size(); ++i)
        if (scales_.data()[i] == 0) scales_.data()[i] = 0x1.0p-24F;
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
    const Index vector = along_ == Along::inputs ? row * (s.cols / d) + (col - s.col0) / d
                                                 : row / d * s.cols + (col - s.col0);
    return vector * s.code->words();
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
        for (Index g = 0; g < groups; ++g) {
            const Index c = g * d;
            for (Index i = 0; i < rows_n; ++i) {
                const float inverse = 1.0F / scale(row0 + i, col0 + c);
                for (Index j = 0; j < d; ++j) x[i * d + j] = target[i * cols_n + c + j] * inverse;
            }
            if (metric != nullptr)
                for (Index a = 0; a < d; ++a)
                    for (Index b = 0; b < d; ++b)
                        local[a * d + b] = metric[(c + a) * cols_n + c + b];
            for (Index i = 0; codes != nullptr && i < rows_n; ++i)
                std::copy_n(&s.codes[code_index(s, row0 + i, col0 + c)], words, &found[i * words]);
            search(x.data(), rows_n, metric != nullptr && d > 1 ? local.data() : nullptr,
                   found.data(), xhat.data());
            for (Index i = 0; i < rows_n; ++i) {
                const float si = scale(row0 + i, col0 + c);
                for (Index j = 0; j < d; ++j) what[i * cols_n + c + j] = xhat[i * d + j] * si;
                std::copy_n(&found[i * words], words,
                            codes != nullptr ? codes + (i * groups + g) * words
                                             : &s.codes[code_index(s, row0 + i, col0 + c)]);
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
                x[(q * cols_n + c) * d + j] =
                    target[(q * d + j) * cols_n + c] / scale(row0 + q * d + j, col0 + c);
    for (Index q = 0; codes != nullptr && q < vectors; ++q)
        std::copy_n(&s.codes[code_index(s, row0 + q * d, col0)], cols_n * words,
                    &found[q * cols_n * words]);
    search(x.data(), vectors * cols_n, nullptr, found.data(), xhat.data());
    for (Index q = 0; q < vectors; ++q)
        for (Index c = 0; c < cols_n; ++c) {
            const Index v = q * cols_n + c;
            for (Index j = 0; j < d; ++j)
                what[(q * d + j) * cols_n + c] =
                    xhat[v * d + j] * scale(row0 + q * d + j, col0 + c);
        }
    for (Index q = 0; q < vectors; ++q)
        std::copy_n(&found[q * cols_n * words], cols_n * words,
                    codes != nullptr ? codes + q * cols_n * words
                                     : &s.codes[code_index(s, row0 + q * d, col0)]);
}

template <class DecodeVectors>
Matrix CodedTensor::assemble(const DecodeVectors& decode_vectors) const {
    Matrix out(rows_, cols_);
    Index parameter0 = 0;
    for (const Segment& s : segments_) {
        const Index d = s.code->dim();
        const Index units = along_ == Along::inputs ? rows_ : rows_ / d;
        const Index per_unit = along_ == Along::inputs ? s.cols / d : s.cols;
        parallel_for((units + 15) / 16, [&](Index chunk) {
            std::vector<float> xhat(static_cast<std::size_t>(per_unit * d));
            for (Index u = chunk * 16; u < std::min(units, chunk * 16 + 16); ++u) {
                decode_vectors(s, parameter0, s.codes.data() + u * per_unit * s.code->words(),
                               per_unit, xhat.data());
                if (along_ == Along::inputs) {
                    for (Index j = 0; j < s.cols; ++j)
                        out(u, s.col0 + j) = xhat[j] * scale(u, s.col0 + j);
                } else {
                    for (Index c = 0; c < s.cols; ++c)
                        for (Index j = 0; j < d; ++j)
                            out(u * d + j, s.col0 + c) =
                                xhat[c * d + j] * scale(u * d + j, s.col0 + c);
                }
            }
        });
        parameter0 += static_cast<Index>(s.code->parameters().size());
    }
    return out;
}

Matrix CodedTensor::decode() const {
    return assemble([](const Segment& s, Index, const std::uint64_t* codes, Index n, float* xhat) {
        s.code->decode(codes, n, xhat);
    });
}

Matrix CodedTensor::decode_with(const std::vector<float>& p) const {
    if (segments_.size() == 1)
        return assemble([&](const Segment& s, Index, const std::uint64_t* codes, Index n,
                            float* xhat) { s.code->decode_with(p, codes, n, xhat); });
    return assemble(
        [&](const Segment& s, Index p0, const std::uint64_t* codes, Index n, float* xhat) {
            const std::vector<float> own(p.begin() + p0, p.end());
            s.code->decode_with(own, codes, n, xhat);
        });
}

std::vector<float> CodedTensor::parameters() const {
    std::vector<float> all;
    for (const Segment& s : segments_) {
        const std::vector<float> p = s.code->parameters();
        all.insert(all.end(), p.begin(), p.end());
    }
    return all;
}

std::vector<double> CodedTensor::adjoint(const Matrix& g) const {
    VQ_ASSERT(g.rows() == rows_ && g.cols() == cols_);
    std::vector<double> total;
    for (const Segment& s : segments_) {
        const Index d = s.code->dim();
        const Index units = along_ == Along::inputs ? rows_ : rows_ / d;
        const Index per_unit = along_ == Along::inputs ? s.cols / d : s.cols;
        const auto size = s.code->parameters().size();
        const Index chunk = (units + adjoint_chunks - 1) / adjoint_chunks;
        std::vector<std::vector<double>> parts(adjoint_chunks);
        parallel_for(adjoint_chunks, [&](Index part) {
            std::vector<double>& sum = parts[part];
            sum.assign(size, 0.0);
            std::vector<float> gv(static_cast<std::size_t>(d));
            for (Index u = part * chunk; u < std::min(units, (part + 1) * chunk); ++u)
                for (Index v = 0; v < per_unit; ++v) {
                    for (Index j = 0; j < d; ++j) {
                        const Index row = along_ == Along::inputs ? u : u * d + j;
                        const Index col = s.col0 + (along_ == Along::inputs ? v * d + j : v);
                        gv[j] = g(row, col) * scale(row, col);
                    }
                    s.code->add_adjoint(&s.codes[(u * per_unit + v) * s.code->words()], gv.data(),
                                        sum.data());
                }
        });
        const std::size_t base = total.size();
        total.resize(base + size, 0.0);
        for (const auto& part : parts)
            for (std::size_t i = 0; i < size; ++i) total[base + i] += part[i];
    }
    return total;
}

}  // namespace vq
