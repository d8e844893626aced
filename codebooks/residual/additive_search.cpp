// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/additive_search.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace vq {

AdditiveSearch::AdditiveSearch(const std::vector<Matrix>& codebooks,
                               const std::vector<Assigner>& assigners,
                               const std::vector<int>& stage_bits)
    : codebooks_(codebooks),
      assigners_(assigners),
      stage_bits_(stage_bits),
      d_(codebooks.front().cols()) {
    VQ_ASSERT(codebooks.size() == assigners.size() && codebooks.size() == stage_bits.size());
    int at = 0;
    for (const int b : stage_bits) {
        shift_.push_back(at);
        at += b;
    }
}

/// Every candidate with its t nearest codewords of `stage`; the `keep` best of them stay, best
/// first.
void AdditiveSearch::extend(Candidates& c, std::size_t stage, Index t, Index keep) const {
    const auto n = static_cast<Index>(c.codes.size()) / c.width;
    const Index total = c.width * t;
    std::vector<std::uint32_t> found(static_cast<std::size_t>(n * total));
    std::vector<float> distance(found.size());
    if (t == 1)
        assigners_[stage].nearest(c.residual.data(), n * c.width, found.data(), distance.data());
    else
        assigners_[stage].nearest_t(c.residual.data(), n * c.width, static_cast<int>(t),
                                    found.data(), distance.data());
    Candidates next;
    next.width = keep;
    next.codes.resize(static_cast<std::size_t>(n * keep));
    next.residual.resize(static_cast<std::size_t>(n * keep * d_));
    std::vector<Index> order(static_cast<std::size_t>(total));
    for (Index i = 0; i < n; ++i) {
        const float* di = distance.data() + i * total;
        // Ties go to the earlier candidate, so that codes do not depend on how a library sorts.
        std::iota(order.begin(), order.end(), Index{0});
        std::partial_sort(order.begin(), order.begin() + keep, order.end(), [&](Index a, Index b) {
            return di[a] < di[b] || (di[a] == di[b] && a < b);
        });
        for (Index b = 0; b < keep; ++b) {
            const Index winner = order.data()[b];
            const Index from = i * c.width + winner / t;
            const std::uint64_t code = found.data()[i * total + winner];
            next.codes.data()[i * keep + b] = c.codes.data()[from] | code << shift_[stage];
            const float* r = c.residual.data() + from * d_;
            const float* w = codebooks_[stage].data() + static_cast<Index>(code) * d_;
            float* out = next.residual.data() + (i * keep + b) * d_;
            for (Index j = 0; j < d_; ++j) out[j] = r[j] - w[j];
        }
    }
    c = std::move(next);
}

/// One more candidate for each vector, the last.
void AdditiveSearch::append(Candidates& c, const float* x, const std::uint64_t* codes) const {
    const auto n = static_cast<Index>(c.codes.size()) / c.width;
    Candidates next;
    next.width = c.width + 1;
    next.codes.resize(static_cast<std::size_t>(n * next.width));
    next.residual.resize(static_cast<std::size_t>(n * next.width * d_));
    for (Index i = 0; i < n; ++i) {
        std::uint64_t* to = next.codes.data() + i * next.width;
        std::copy_n(c.codes.data() + i * c.width, c.width, to);
        to[c.width] = codes[i];
        std::copy_n(c.residual.data() + i * c.width * d_, c.width * d_,
                    next.residual.data() + i * next.width * d_);
        float* out = next.residual.data() + (i * next.width + c.width) * d_;
        std::copy_n(x + i * d_, d_, out);
        for (std::size_t m = 0; m < codebooks_.size(); ++m) {
            const float* w = codebooks_[m].data() + static_cast<Index>(word(codes[i], m)) * d_;
            for (Index j = 0; j < d_; ++j) out[j] -= w[j];
        }
    }
    c = std::move(next);
}

/// Chooses every stage of every candidate again, the others fixed.
void AdditiveSearch::revise(Candidates& c) const {
    const auto total = static_cast<Index>(c.codes.size());
    std::uint64_t* codes = c.codes.data();
    std::vector<std::uint32_t> found(c.codes.size());
    for (std::size_t m = 0; m < codebooks_.size(); ++m) {
        for (Index i = 0; i < total; ++i) {
            const float* w = codebooks_[m].data() + static_cast<Index>(word(codes[i], m)) * d_;
            // What this stage alone has to come near to.
            float* r = c.residual.data() + i * d_;
            for (Index j = 0; j < d_; ++j) r[j] += w[j];
        }
        assigners_[m].nearest(c.residual.data(), total, found.data(), nullptr);
        for (Index i = 0; i < total; ++i) {
            const std::uint32_t chosen = found.data()[i];
            codes[i] ^= (word(codes[i], m) ^ chosen) << shift_[m];
            const float* w = codebooks_[m].data() + static_cast<Index>(chosen) * d_;
            float* r = c.residual.data() + i * d_;
            for (Index j = 0; j < d_; ++j) r[j] -= w[j];
        }
    }
}

void AdditiveSearch::run(const float* x, Index n, int beam, int revisions, bool from_codes,
                         std::uint64_t* codes) const {
    Candidates c;
    c.codes.assign(static_cast<std::size_t>(n), 0);
    c.residual.assign(x, x + n * d_);
    const std::size_t stages = codebooks_.size();
    const bool revised = revisions > 0 && stages > 1;
    for (std::size_t m = 0; m < stages; ++m) {
        const bool last = m + 1 == stages;
        // After the last stage nothing can make good for a codeword that is not the nearest.
        // Revisions may turn the order of candidates round, so that all of them stay for these.
        const Index t = last ? 1 : std::min<Index>(beam, codebooks_[m].rows());
        extend(c, m, t, last && !revised ? 1 : std::min<Index>(beam, c.width * t));
    }
    if (from_codes) append(c, x, codes);
    for (int r = 0; revised && r < revisions; ++r) {
        const std::vector<std::uint64_t> before = c.codes;
        revise(c);
        // Nothing moved: nothing will.
        if (c.codes == before) break;
    }
    for (Index i = 0; i < n; ++i) {
        Index best = 0;
        float least = 0;
        for (Index b = 0; b < c.width; ++b) {
            const float* e = c.residual.data() + (i * c.width + b) * d_;
            float cost = 0;
            for (Index j = 0; j < d_; ++j) cost += e[j] * e[j];
            if (b > 0 && !(cost < least)) continue;
            least = cost;
            best = b;
        }
        codes[i] = c.codes.data()[i * c.width + best];
    }
}

}  // namespace vq
