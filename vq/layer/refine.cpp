// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/refine.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"
#include "vq/tensor/proxy.h"

namespace vq {

namespace {

constexpr Index panel_rows = 64;
constexpr Index super_columns = 128;

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

/// Scales with codes fixed. What_i = sum_g s_ig q_ig; the loss of row i is quadratic in its scales:
/// a(g, k) = q_g H_gk q_k^T and b(g) = q_g (H w)_g, in units of the present scales. One panel of
/// rows at a time, so that memory does not grow with rows x groups^2.
Matrix solve_scales(const Matrix& w, const Matrix& h, const CodedTensor& tensor) {
    const Index m = w.rows();
    const Index n = w.cols();
    const Index groups = tensor.scales().cols();
    const Index width = tensor.layout().group;
    const Index panels = (m + panel_rows - 1) / panel_rows;
    const bool one = tensor.scales().rows() == 1;
    Matrix scales = tensor.scales();
    std::vector<double> top(static_cast<std::size_t>(panels), 0.0);
    std::vector<double> bottom(static_cast<std::size_t>(panels), 0.0);
    parallel_for(panels, [&](Index p) {
        const Index row0 = p * panel_rows;
        const Index rows = std::min(panel_rows, m - row0);
        const Matrix what = tensor.decode_rows(row0, rows);
        const auto dot_in_group = [&](const Matrix& x, Index r, Index g) {
            const Index g0 = g * width;
            const Index gn = std::min(width, n - g0);
            return what.row(r).segment(g0, gn).cast<double>().dot(
                x.row(r).segment(g0, gn).cast<double>());
        };
        Matrix product(rows, n);
        sgemm_serial(false, false, rows, n, n, 1.0F, w.data() + row0 * n, n, h.data(), n, 0.0F,
                     product.data(), n);
        MatrixD b(rows, groups);
        for (Index r = 0; r < rows; ++r)
            for (Index g = 0; g < groups; ++g) b(r, g) = dot_in_group(product, r, g);
        std::vector<MatrixD> a(static_cast<std::size_t>(rows), MatrixD::Zero(groups, groups));
        for (Index k = 0; k < groups; ++k) {
            check_cancelled();
            const Index k0 = k * width;
            sgemm_serial(false, false, rows, n, std::min(width, n - k0), 1.0F, what.data() + k0, n,
                         h.data() + k0 * n, n, 0.0F, product.data(), n);
            for (Index r = 0; r < rows; ++r)
                for (Index g = 0; g < groups; ++g) a.data()[r](g, k) = dot_in_group(product, r, g);
        }
        for (Index r = 0; r < rows; ++r) {
            MatrixD& system = a.data()[r];
            top.data()[p] += b.row(r).sum();
            bottom.data()[p] += system.sum();
            const double size = system.diagonal().maxCoeff();
            if (one || !(size > 0)) continue;
            // Groups that are all zero have no scale of their own to solve for.
            system.diagonal().array() += 1e-9 * size;
            const VectorD factor = system.ldlt().solve(VectorD(b.row(r).transpose()));
            for (Index g = 0; g < groups; ++g) {
                // A scale that fp16 rounds to zero could never be left again.
                const double solved = scales(row0 + r, g) * factor(g);
                if (std::isfinite(solved) && std::abs(solved) >= 0x1p-24)
                    scales(row0 + r, g) = static_cast<float>(solved);
            }
        }
    });
    if (one) {
        double above = 0;
        double below = 0;
        for (Index p = 0; p < panels; ++p) {
            above += top.data()[p];
            below += bottom.data()[p];
        }
        const double factor = above / below;
        if (below > 0 && std::isfinite(factor) && factor != 0) scales *= static_cast<float>(factor);
    }
    return scales;
}

/// Rows of W - What.
MatrixRows error_rows(const Matrix& w, const CodedTensor& tensor) {
    return [&](Index row0, Index rows) -> Matrix {
        return w.middleRows(row0, rows) - tensor.decode_rows(row0, rows);
    };
}

/// Codebooks with codes fixed: conjugate gradients on the normal equations, from the present
/// codebooks, preconditioned by how much energy each parameter commands.
std::vector<float> solve_codebooks(const Matrix& w, const Matrix& h, const CodedTensor& tensor,
                                   int iterations) {
    const std::vector<float> start = tensor.parameters();
    const std::size_t size = start.size();
    // The adjoint of e H.
    const auto adjoint_of = [&](const MatrixRows& e) {
        return tensor.adjoint([&](Index row0, Index rows, float* g) {
            proxy_product(w.rows(), e, h, row0, rows, g);
        });
    };
    std::vector<double> r = adjoint_of(error_rows(w, tensor));
    // Diagonal of the normal matrix: sum of s^2 H_jj over the places where a parameter is used.
    std::vector<double> diagonal = tensor.adjoint([&](Index row0, Index rows, float* g) {
        for (Index i = row0; i < row0 + rows; ++i)
            for (Index j = 0; j < w.cols(); ++j) *g++ = tensor.scale(i, j) * h(j, j);
    });
    for (double& x : diagonal) x = x > 0 ? x : 1.0;
    std::vector<double> x(size, 0.0);
    std::vector<double> z(size);
    for (std::size_t i = 0; i < size; ++i) z[i] = r[i] / diagonal[i];
    std::vector<double> p = z;
    double rz = dot(r, z);
    const double first = rz;
    std::vector<float> pf(size);
    // Five digits: the result is rounded to fp16.
    for (int it = 0; it < iterations && rz > 1e-10 * first && rz > 0; ++it) {
        std::transform(p.begin(), p.end(), pf.begin(),
                       [](double v) { return static_cast<float>(v); });
        const std::vector<double> ap = adjoint_of(
            [&](Index row0, Index rows) { return tensor.decode_rows_with(pf, row0, rows); });
        const double curvature = dot(p, ap);
        if (!(curvature > 0)) break;
        const double step = rz / curvature;
        for (std::size_t i = 0; i < size; ++i) {
            x[i] += step * p[i];
            r[i] -= step * ap[i];
            z[i] = r[i] / diagonal[i];
        }
        const double next = dot(r, z);
        const double ratio = next / rz;
        rz = next;
        for (std::size_t i = 0; i < size; ++i) p[i] = z[i] + ratio * p[i];
    }
    std::vector<float> out(size);
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<float>(start[i] + x[i]);
    return out;
}

/// Inverse of each diagonal block of H that one vector (or one column) covers.
struct LocalMetrics {
    Index width = 1;
    std::vector<Matrix> block;    // H_kk, for the exact change of the loss
    std::vector<Matrix> inverse;  // H_kk^-1
    std::vector<Matrix> shape;    // H_kk over its mean diagonal, for the encoder
};

LocalMetrics local_metrics(const Matrix& h, Index col0, Index cols, Index width) {
    LocalMetrics out;
    out.width = width;
    for (Index c = col0; c < col0 + cols; c += width) {
        const MatrixD b = h.block(c, c, width, width).cast<double>();
        out.block.emplace_back(b.cast<float>());
        // In fp64: neighbouring columns of H may be nearly the same.
        out.inverse.emplace_back(b.llt().solve(MatrixD::Identity(width, width)).cast<float>());
        out.shape.emplace_back((b / b.diagonal().mean()).cast<float>());
    }
    return out;
}

/// One panel of rows in a sweep: rows, or groups of d rows that share codes, do not interact.
class PanelSweep {
public:
    PanelSweep(const Matrix& w, const Matrix& h, Index row0, Index rows, CodedTensor& tensor)
        : h_(h),
          n_(w.cols()),
          row0_(row0),
          rows_(rows),
          tensor_(tensor),
          what_(tensor.decode_rows(row0, rows)),
          g_(rows, w.cols()),
          delta_(rows, w.cols()) {
        const Matrix e = w.middleRows(row0, rows) - what_;
        sgemm_serial(false, false, rows, n_, n_, 1.0F, e.data(), n_, h.data(), n_, 0.0F, g_.data(),
                     n_);
    }

    /// Goes through a segment's columns, block after block. Inside a super-block G learns of every
    /// change at once; the rest of G learns of them together, by two products, since one row at a
    /// time would read all of H for every block.
    void sweep(Segment& s, const LocalMetrics& metrics) {
        const Index b = metrics.width;
        // Rows that share a code: d of them for vectors along outputs, else one.
        tie_ = tensor_.along() == Along::inputs ? 1 : s.code->dim();
        x_.resize(rows_, b);
        q_.resize(rows_, b);
        codes_.resize(static_cast<std::size_t>(rows_ / tie_ * s.code->words()));
        const Index super = std::max<Index>(b, super_columns / b * b);
        const Index end = s.col0 + s.cols;
        for (Index s0 = s.col0; s0 < end; s0 += super) {
            const Index s1 = std::min(end, s0 + super);
            for (Index c = s0; c < s1; c += b) {
                check_cancelled();
                find_change(c, metrics, static_cast<std::size_t>((c - s.col0) / b));
                delta_.middleCols(c, b).setZero();
                for (Index r = 0; r < rows_; r += tie_)
                    if (change_of_loss(r, c) < 0) keep_change(r, c, s0, s1, s);
            }
            pass_on(s0, s1, 0, s0);
            pass_on(s0, s1, s1, n_ - s1);
        }
    }

private:
    /// q: how each row would change at block k, columns [c, c + b), if it were encoded again at its
    /// own best point, What_k + G_k H_kk^-1; qh: q H_kk.
    void find_change(Index c, const LocalMetrics& metrics, std::size_t k) {
        const Index b = metrics.width;
        x_.noalias() = g_.middleCols(c, b).lazyProduct(metrics.inverse[k]);
        x_ += what_.middleCols(c, b);
        tensor_.encode_block(row0_, rows_, c, b, x_.data(), metrics.shape[k].data(), q_.data(),
                             codes_.data());
        q_ -= what_.middleCols(c, b);
        qh_ = q_.lazyProduct(metrics.block[k]);
    }

    /// What the change of rows [r, r + tie) does to the loss: q H_kk q^T - 2 q G_k^T.
    double change_of_loss(Index r, Index c) const {
        double change = 0;
        for (Index t = r; t < r + tie_; ++t)
            for (Index j = 0; j < q_.cols(); ++j)
                change += static_cast<double>(q_(t, j)) *
                          (static_cast<double>(qh_(t, j)) - 2.0 * g_(t, c + j));
        return change;
    }

    /// Takes the change of rows [r, r + tie) over, and tells G inside the super-block [s0, s1).
    void keep_change(Index r, Index c, Index s0, Index s1, Segment& s) {
        const Index b = q_.cols();
        s.codes.write(tensor_.code_index(s, row0_ + r, c), 1,
                      &codes_[static_cast<std::size_t>(r / tie_ * s.code->words())]);
        delta_.block(r, c, tie_, b) = q_.middleRows(r, tie_);
        what_.block(r, c, tie_, b) += q_.middleRows(r, tie_);
        for (Index t = r; t < r + tie_; ++t)
            for (Index j = 0; j < b; ++j) {
                const float change = q_(t, j);
                const float* hj = h_.data() + (c + j) * n_ + s0;
                float* gt = g_.data() + t * n_ + s0;
                for (Index a = 0; a < s1 - s0; ++a) gt[a] -= change * hj[a];
            }
    }

    /// Tells columns [from, from + count) of G what has changed in [s0, s1).
    void pass_on(Index s0, Index s1, Index from, Index count) {
        if (count == 0) return;
        sgemm_serial(false, false, rows_, count, s1 - s0, -1.0F, delta_.data() + s0, n_,
                     h_.data() + s0 * n_ + from, n_, 1.0F, g_.data() + from, n_);
    }

    const Matrix& h_;
    Index n_;
    Index row0_;
    Index rows_;
    CodedTensor& tensor_;
    Matrix what_;   ///< with the changes so far
    Matrix g_;      ///< G = (W - What) H of the panel's rows, kept up to date
    Matrix delta_;  ///< changes that the columns outside their super-block do not know of yet
    Index tie_ = 1;
    Matrix x_;  ///< targets of a block
    Matrix q_;
    Matrix qh_;
    std::vector<std::uint64_t> codes_;
};

/// One sweep over all codes.
void sweep_codes(const Matrix& w, const Matrix& h, CodedTensor& tensor) {
    std::vector<LocalMetrics> metrics;
    for (const Segment& s : tensor.segments())
        metrics.push_back(
            local_metrics(h, s.col0, s.cols, tensor.along() == Along::inputs ? s.code->dim() : 1));
    const Index unit = tensor.row_unit();
    const Index panel = (panel_rows + unit - 1) / unit * unit;
    parallel_for((w.rows() + panel - 1) / panel, [&](Index p) {
        const Index row0 = p * panel;
        PanelSweep sweep(w, h, row0, std::min(panel, w.rows() - row0), tensor);
        for (std::size_t i = 0; i < metrics.size(); ++i)
            sweep.sweep(tensor.segments()[i], metrics[i]);
    });
}

}  // namespace

double tensor_loss(const Matrix& w, const Matrix& h, const CodedTensor& tensor) {
    return proxy_loss(w.rows(), error_rows(w, tensor), h);
}

RefineReport refine(const Matrix& w, const Matrix& h, const RefineSettings& settings,
                    const Progress& progress, CodedTensor& tensor) {
    RefineReport report;
    report.before = report.after = tensor_loss(w, h, tensor);
    const bool own_codebooks = std::all_of(
        tensor.segments().begin(), tensor.segments().end(),
        [](const Segment& s) { return s.shared.empty() && !s.code->parameters().empty(); });
    // Takes a step's result if it is better, else puts the tensor back.
    const auto attempt = [&](const auto& step) {
        progress.check();
        CodedTensor saved = tensor;
        step();
        const double loss = tensor_loss(w, h, tensor);
        if (loss < report.after)
            report.after = loss;
        else
            tensor = std::move(saved);
    };
    for (int round = 0; round < settings.rounds; ++round) {
        const double start = report.after;
        if (settings.scales) attempt([&] { tensor.set_scales(solve_scales(w, h, tensor)); });
        if (settings.codebooks && own_codebooks)
            attempt([&] {
                const std::vector<float> p = solve_codebooks(w, h, tensor, settings.cg_iterations);
                std::size_t at = 0;
                for (Segment& s : tensor.segments()) {
                    const std::size_t size = s.code->parameters().size();
                    s.code = s.code->with_parameters({p.begin() + static_cast<Index>(at),
                                                      p.begin() + static_cast<Index>(at + size)});
                    at += size;
                }
            });
        if (settings.codes) attempt([&] { sweep_codes(w, h, tensor); });
        ++report.rounds;
        if (report.after > start * (1 - settings.tolerance)) break;
    }
    return report;
}

}  // namespace vq
