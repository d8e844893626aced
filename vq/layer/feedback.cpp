// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/feedback.h"

#include <algorithm>

#include "base/cancel.h"
#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"

namespace vq {

namespace {

/// Columns whose errors are passed on together by one matrix product.
constexpr Index super_columns = 128;

/// Both dimensions.
template <class M>
void reverse(M& m) {
    std::reverse(m.data(), m.data() + m.size());
}

}  // namespace

BlockLDL factorize_block_ldl(MatrixD c, Index block, FeedbackOrder order) {
    const Index n = c.rows();
    VQ_ASSERT(c.cols() == n && block >= 1 && n % block == 0 && order != FeedbackOrder::none);
    // A lower factor passes errors from the last column towards the first; turned round, from the
    // first towards the last.
    if (order == FeedbackOrder::forward) reverse(c);
    if (!cholesky_lower(c))
        throw Error("the Hessian is not positive definite", "block LDL factorization",
                    "raise objective.damping");
    BlockLDL out;
    out.order = order;
    out.block = block;
    const Index blocks = n / block;
    out.metrics.resize(static_cast<std::size_t>(blocks));
    double mean = 0;
    for (Index k = 0; k < blocks; ++k) {
        const Index at = k * block;
        const MatrixD ckk = c.block(at, at, block, block);
        MatrixD metric = ckk * ckk.transpose();
        mean += metric.diagonal().sum();
        const Index where = order == FeedbackOrder::backward ? k : blocks - 1 - k;
        if (order == FeedbackOrder::forward) reverse(metric);
        out.metrics.data()[where] = metric.cast<float>();
        // L_k = C_k C_kk^-1, by a solve from the right.
        auto below = c.block(at, at, n - at, block);
        const MatrixD solved =
            ckk.transpose().triangularView<Eigen::Upper>().solve(below.transpose()).transpose();
        below = solved;
    }
    for (Matrix& metric : out.metrics) metric /= static_cast<float>(mean / static_cast<double>(n));
    // The diagonal blocks are the identity by construction; strip rounding.
    for (Index k = 0; k < blocks; ++k) c.block(k * block, k * block, block, block).setIdentity();
    if (order == FeedbackOrder::forward) reverse(c);
    out.factor = c.cast<float>();
    return out;
}

BlockLDL without_feedback(const MatrixD& h, Index block) {
    VQ_ASSERT(h.rows() == h.cols() && block >= 1 && h.rows() % block == 0);
    BlockLDL out;
    out.order = FeedbackOrder::none;
    out.block = block;
    const double mean = h.diagonal().mean();
    for (Index c = 0; c < h.rows(); c += block)
        out.metrics.emplace_back((h.block(c, c, block, block) / mean).cast<float>());
    return out;
}

void feedback_pass(const Matrix& w, const BlockLDL& ldl, Index panel, const EncodeBlock& encode,
                   Matrix* what, Matrix* targets) {
    const Index m = w.rows();
    const Index n = w.cols();
    const Index block = ldl.block;
    VQ_ASSERT(n % block == 0 && panel >= 1);
    const bool feed = ldl.order != FeedbackOrder::none;
    const bool backward = ldl.order == FeedbackOrder::backward;
    VQ_ASSERT(!feed || (ldl.factor.rows() == n && ldl.factor.cols() == n));
    // Two levels, as GPTQ batches its updates: errors go to the columns next in line at once, and
    // to all others by one product of matrices, which runs from the cache.
    const Index super = std::max(block, super_columns / block * block);
    const Index supers = (n + super - 1) / super;
    if (what != nullptr) what->resize(m, n);
    if (targets != nullptr) targets->resize(m, n);
    parallel_for((m + panel - 1) / panel, [&](Index p) {
        const Index row0 = p * panel;
        const Index rows = std::min(panel, m - row0);
        Matrix t = w.middleRows(row0, rows);  // targets, corrected as errors become known
        Matrix e(rows, n);
        Matrix x(rows, block);
        Matrix q(rows, block);
        for (Index si = 0; si < supers; ++si) {
            const Index s0 = (backward ? supers - 1 - si : si) * super;
            const Index s1 = std::min(n, s0 + super);
            const Index in_super = (s1 - s0) / block;
            for (Index bi = 0; bi < in_super; ++bi) {
                const Index c0 = backward ? s1 - (bi + 1) * block : s0 + bi * block;
                check_cancelled();  // a panel of a wide layer takes many seconds
                x = t.middleCols(c0, block);
                const float* metric =
                    ldl.metrics.empty() ? nullptr : ldl.metrics.data()[c0 / block].data();
                encode(row0, rows, c0, x.data(), metric, q.data());
                if (targets != nullptr) targets->block(row0, c0, rows, block) = x;
                if (what != nullptr) what->block(row0, c0, rows, block) = q;
                if (!feed) continue;
                // Of the weight, not of the target: what reaches the outputs is W - What, earlier
                // corrections included.
                e.middleCols(c0, block) = w.block(row0, c0, rows, block) - q;
                // Columns of this super-block that are still to come.
                const Index from = backward ? s0 : c0 + block;
                const Index count = backward ? c0 - s0 : s1 - from;
                for (Index i = 0; i < rows && count > 0; ++i)
                    for (Index j = 0; j < block; ++j) {
                        const float err = e(i, c0 + j);
                        const float* f = ldl.factor.data() + (c0 + j) * n + from;
                        float* ti = t.data() + i * n + from;
                        for (Index c = 0; c < count; ++c) ti[c] += err * f[c];
                    }
            }
            const Index from = backward ? 0 : s1;
            const Index count = backward ? s0 : n - s1;
            if (feed && count > 0)
                sgemm_serial(false, false, rows, count, s1 - s0, 1.0F, e.data() + s0, n,
                             ldl.factor.data() + s0 * n + from, n, 1.0F, t.data() + from, n);
        }
    });
}

}  // namespace vq
