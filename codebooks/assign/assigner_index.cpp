// SPDX-License-Identifier: Apache-2.0
#include "codebooks/assign/assigner_index.h"

#include <faiss/IndexFlat.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"

namespace vq {
namespace {

constexpr vq::Index points_per_item = 1024;

/// faiss::IndexFlatL2 that asks before every search whether to go on.
class CheckedFlatIndex : public faiss::IndexFlatL2 {
public:
    CheckedFlatIndex(vq::Index d, std::function<void()> before_search)
        : faiss::IndexFlatL2(d),
          before_search_(std::move(before_search)),
          threads_(omp_get_max_threads()) {}

    void search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
                const faiss::SearchParameters* params = nullptr) const override {
        if (before_search_) before_search_();
        const ThreadScope all(threads_);
        faiss::IndexFlatL2::search(n, x, k, distances, labels, params);
    }

private:
    std::function<void()> before_search_;
    int threads_;
};

}  // namespace

AssignerIndex::AssignerIndex(vq::Index d, std::function<void()> before_search)
    : faiss::Index(d, faiss::METRIC_L2),
      before_search_(std::move(before_search)),
      threads_(omp_get_max_threads()) {
    VQ_ASSERT(d >= 1 && d <= Assigner::max_dimension);
}

void AssignerIndex::add(idx_t n, const float* x) {
    VQ_ASSERT(n >= 0);
    vectors_.insert(vectors_.end(), x, x + n * d);
    ntotal += n;
    // FAISS adds all centroids at once, after every step: nothing is gained by growing the blocked
    // copy.
    if (ntotal > 0) assigner_ = std::make_unique<Assigner>(vectors_.data(), ntotal, d);
}

void AssignerIndex::reset() {
    vectors_.clear();
    assigner_.reset();
    ntotal = 0;
}

void AssignerIndex::search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
                           const faiss::SearchParameters* params) const {
    VQ_ASSERT(k >= 1 && k <= Assigner::max_t);
    VQ_ASSERT(params == nullptr || params->sel == nullptr);
    if (before_search_) before_search_();
    const int found = static_cast<int>(std::min(k, ntotal));
    if (found < k) {
        std::fill_n(distances, n * k, std::numeric_limits<float>::infinity());
        std::fill_n(labels, n * k, idx_t{-1});
        if (found == 0) return;
    }
    const ThreadScope all(threads_);
    parallel_for((n + points_per_item - 1) / points_per_item, [&](idx_t item) {
        const idx_t first = item * points_per_item;
        const idx_t count = std::min(points_per_item, n - first);
        std::vector<std::uint32_t> code(static_cast<std::size_t>(count * found));
        std::vector<float> distance(code.size());
        if (found == 1)
            assigner_->nearest(x + first * d, count, code.data(), distance.data());
        else
            assigner_->nearest_t(x + first * d, count, found, code.data(), distance.data());
        for (idx_t i = 0; i < count; ++i) {
            std::copy_n(code.begin() + i * found, found, labels + (first + i) * k);
            std::copy_n(distance.begin() + i * found, found, distances + (first + i) * k);
        }
    });
}

void AssignerIndex::reconstruct(idx_t key, float* recons) const {
    VQ_ASSERT(key >= 0 && key < ntotal);
    std::copy_n(vectors_.begin() + key * d, d, recons);
}

std::unique_ptr<faiss::Index> make_assigner_index(AssignerKind kind, vq::Index d,
                                                  std::function<void()> before_search) {
    if (kind == AssignerKind::own)
        return std::make_unique<AssignerIndex>(d, std::move(before_search));
    return std::make_unique<CheckedFlatIndex>(d, std::move(before_search));
}

}  // namespace vq
