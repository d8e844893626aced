// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/refine.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"
#include "vq/layer/proxy.h"

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
Matrix solve_scales(const Matrix& w, const Matrix& h, const CodedTensor& tensor,
                    const Matrix& what) {
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
        const auto dot_in_group = [&](const Matrix& x, Index r, Index g) {
            const Index g0 = g * width;
            const Index gn = std::min(width, n - g0);
            return what.row(row0 + r).segment(g0, gn).cast<double>().dot(
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
            const Index k0 = k * width;
            sgemm_serial(false, false, rows, n, std::min(width, n - k0), 1.0F,
                         what.data() + row0 * n + k0, n, h.data() + k0 * n, n, 0.0F, product.data(),
                         n);
            for (Index r = 0; r < rows; ++r)
                for (Index g = 0; g < groups; ++g) a[r](g, k) = dot_in_group(product, r, g);
        }
        for (Index r = 0; r < rows; ++r) {
            top[p] += b.row(r).sum();
            bottom[p] += a[r].sum();
            const double size = a[r].diagonal().maxCoeff();
            if (one || !(size > 0)) continue;
            a[r].diagonal().array() += 1e-9 * size;
            const VectorD factor = a[r].ldlt().solve(VectorD(b.row(r).transpose()));
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
            above += top[p];
            below += bottom[p];
        }
        const double factor = above / below;
        if (below > 0 && std::isfinite(factor) && factor != 0) scales *= static_cast<float>(factor);
    }
    return scales;
}

/// Codebooks with codes fixed: conjugate gradients on the normal equations, from the present
/// codebooks, preconditioned by how much energy each parameter commands.
std::vector<float> solve_codebooks(const Matrix& w, const Matrix& h, const CodedTensor& tensor,
                                   const Matrix& what, int iterations) {
    const std::vector<float> start = tensor.parameters();
    const std::size_t size = start.size();
    Matrix gh;
    matmul(Matrix(w - what), false, h, false, gh);
    std::vector<double> r = tensor.adjoint(gh);
    // Diagonal of the normal matrix: sum of s^2 H_jj over the places where a parameter is used.
    Matrix weight(w.rows(), w.cols());
    for (Index i = 0; i < w.rows(); ++i)
        for (Index j = 0; j < w.cols(); ++j) weight(i, j) = tensor.scale(i, j) * h(j, j);
    std::vector<double> diagonal = tensor.adjoint(weight);
    for (double& x : diagonal) x = x > 0 ? x : 1.0;
    std::vector<double> x(size, 0.0);
    std::vector<double> z(size);
    for (std::size_t i = 0; i < size; ++i) z[i] = r[i] / diagonal[i];
    std::vector<double> p = z;
    double rz = dot(r, z);
    const double first = rz;
    std::vector<float> pf(size);
    for (int it = 0; it < iterations && rz > 1e-10 * first && rz > 0; ++it) {
        std::transform(p.begin(), p.end(), pf.begin(),
                       [](double v) { return static_cast<float>(v); });
        matmul(tensor.decode_with(pf), false, h, false, gh);
        const std::vector<double> ap = tensor.adjoint(gh);
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
        out.inverse.emplace_back(b.llt().solve(MatrixD::Identity(width, width)).cast<float>());
        out.shape.emplace_back((b / b.diagonal().mean()).cast<float>());
    }
    return out;
}

/// One sweep over all codes. Rows (or groups of d rows) are independent of each other.
void sweep_codes(const Matrix& w, const Matrix& h, CodedTensor& tensor, Matrix& what) {
    const Index n = w.cols();
    std::vector<LocalMetrics> metrics;
    for (const Segment& s : tensor.segments())
        metrics.push_back(
            local_metrics(h, s.col0, s.cols, tensor.along() == Along::inputs ? s.code->dim() : 1));
    const Index unit = tensor.row_unit();
    const Index panel = (panel_rows + unit - 1) / unit * unit;
    parallel_for((w.rows() + panel - 1) / panel, [&](Index p) {
        const Index row0 = p * panel;
        const Index rows = std::min(panel, w.rows() - row0);
        const Matrix e = w.middleRows(row0, rows) - what.middleRows(row0, rows);
        Matrix g(rows, n);
        sgemm_serial(false, false, rows, n, n, 1.0F, e.data(), n, h.data(), n, 0.0F, g.data(), n);
        Matrix delta(rows, n);
        for (std::size_t si = 0; si < tensor.segments().size(); ++si) {
            const Segment& s = tensor.segments()[si];
            const Index d = s.code->dim();
            const Index b = metrics[si].width;
            // Rows that share a code: d of them for vectors along outputs, else one.
            const Index tie = tensor.along() == Along::inputs ? 1 : d;
            const Index super = std::max<Index>(b, super_columns / b * b);
            Matrix x(rows, b);
            Matrix q(rows, b);
            const Index words = s.code->words();
            std::vector<std::uint64_t> codes(static_cast<std::size_t>(rows / tie * words));
            for (Index s0 = s.col0; s0 < s.col0 + s.cols; s0 += super) {
                const Index s1 = std::min(s.col0 + s.cols, s0 + super);
                for (Index c = s0; c < s1; c += b) {
                    const auto k = static_cast<std::size_t>((c - s.col0) / b);
                    x.noalias() = g.middleCols(c, b).lazyProduct(metrics[si].inverse[k]);
                    x += what.block(row0, c, rows, b);
                    tensor.encode_block(row0, rows, c, b, x.data(), metrics[si].shape[k].data(),
                                        q.data(), codes.data());
                    q -= what.block(row0, c, rows, b);  // the change
                    const Matrix qh = q.lazyProduct(metrics[si].block[k]);
                    delta.middleCols(c, b).setZero();
                    for (Index r = 0; r < rows; r += tie) {
                        double change = 0;
                        for (Index t = r; t < r + tie; ++t)
                            for (Index j = 0; j < b; ++j)
                                change += static_cast<double>(q(t, j)) *
                                          (static_cast<double>(qh(t, j)) - 2.0 * g(t, c + j));
                        if (!(change < 0)) continue;
                        std::copy_n(
                            &codes[r / tie * words], words,
                            &tensor.segments()[si].codes[tensor.code_index(s, row0 + r, c)]);
                        delta.block(r, c, tie, b) = q.middleRows(r, tie);
                        what.block(row0 + r, c, tie, b) += q.middleRows(r, tie);
                        for (Index t = r; t < r + tie; ++t)
                            for (Index j = 0; j < b; ++j) {
                                const float change_j = q(t, j);
                                const float* hj = h.data() + (c + j) * n + s0;
                                float* gt = g.data() + t * n + s0;
                                for (Index a = 0; a < s1 - s0; ++a) gt[a] -= change_j * hj[a];
                            }
                    }
                }
                // The rest of G learns of this super-block's changes by two products.
                const auto update = [&](Index from, Index count) {
                    if (count > 0)
                        sgemm_serial(false, false, rows, count, s1 - s0, -1.0F, delta.data() + s0,
                                     n, h.data() + s0 * n + from, n, 1.0F, g.data() + from, n);
                };
                update(0, s0);
                update(s1, n - s1);
            }
        }
    });
    what = tensor.decode();  // free of the rounding that additions left
}

}  // namespace

RefineReport refine(const Matrix& w, const Matrix& h, const RefineSettings& settings,
                    const Progress& progress, CodedTensor& tensor, Matrix& what) {
    RefineReport report;
    report.before = report.after = proxy_loss(Matrix(w - what), h);
    const bool own_codebooks = std::all_of(
        tensor.segments().begin(), tensor.segments().end(),
        [](const Segment& s) { return s.shared.empty() && !s.code->parameters().empty(); });
    // Takes a step's result if it is better, else puts the tensor back.
    const auto attempt = [&](const auto& step) {
        progress.check();
        CodedTensor saved = tensor;
        Matrix saved_what = what;
        step();
        const double loss = proxy_loss(Matrix(w - what), h);
        if (loss < report.after) {
            report.after = loss;
            return;
        }
        tensor = std::move(saved);
        what = std::move(saved_what);
    };
    for (int round = 0; round < settings.rounds; ++round) {
        const double start = report.after;
        if (settings.scales)
            attempt([&] {
                tensor.set_scales(solve_scales(w, h, tensor, what));
                what = tensor.decode();
            });
        if (settings.codebooks && own_codebooks)
            attempt([&] {
                const std::vector<float> p =
                    solve_codebooks(w, h, tensor, what, settings.cg_iterations);
                std::size_t at = 0;
                for (Segment& s : tensor.segments()) {
                    const std::size_t size = s.code->parameters().size();
                    s.code = s.code->with_parameters({p.begin() + static_cast<Index>(at),
                                                      p.begin() + static_cast<Index>(at + size)});
                    at += size;
                }
                what = tensor.decode();
            });
        if (settings.codes) attempt([&] { sweep_codes(w, h, tensor, what); });
        ++report.rounds;
        if (report.after > start * (1 - settings.tolerance)) break;
    }
    return report;
}

}  // namespace vq
