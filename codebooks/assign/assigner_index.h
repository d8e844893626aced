// SPDX-License-Identifier: Apache-2.0
// AssignerIndex: Assigner behind the interface of faiss::Index, so that faiss::Clustering (or any
// other user of a flat L2 index over few dimensions) runs on it.
#pragma once

#include <faiss/Index.h>

#include <functional>
#include <memory>
#include <vector>

#include "codebooks/assign/assigner.h"

namespace vq {

/// Who finds the nearest codewords during training.
enum class AssignerKind {
    own,   ///< Assigner: the default
    faiss  ///< faiss::IndexFlatL2: to compare with; its results may depend on the thread count
};

/// An exact L2 index over at most 2^31 vectors of at most Assigner::max_dimension dimensions.
class AssignerIndex : public faiss::Index {
public:
    /// `before_search` runs at the start of every search, on the caller's thread, and may throw.
    explicit AssignerIndex(vq::Index d, std::function<void()> before_search = {});

    // In here `Index` would name faiss::Index, hence vq::Index above and idx_t below.

    /// Appends the n vectors of x, size (n, d). The blocked copy is rebuilt: add all at once.
    void add(idx_t n, const float* x) override;
    /// Removes all vectors.
    void reset() override;
    /// All threads; results do not depend on their number. distances, labels: size (n, k),
    /// k <= Assigner::max_t, nearest first; places past ntotal hold infinity and -1. A selector in
    /// `params` is not supported (an InternalError).
    void search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
                const faiss::SearchParameters* params = nullptr) const override;
    /// Copies vector `key`, size (d).
    void reconstruct(idx_t key, float* recons) const override;

private:
    std::function<void()> before_search_;
    int threads_;  ///< those of the thread that made it, whatever FAISS may use for its own loops
    std::vector<float> vectors_;  ///< size (ntotal, d)
    std::unique_ptr<Assigner> assigner_;
};

/// An empty flat L2 index. `before_search` as in AssignerIndex; called by both kinds.
std::unique_ptr<faiss::Index> make_assigner_index(AssignerKind kind, vq::Index d,
                                                  std::function<void()> before_search = {});

}  // namespace vq
