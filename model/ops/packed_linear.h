// SPDX-License-Identifier: Apache-2.0
// Products with tensors of a packed file, for Linear: the weights stay as they lie in the file,
// only activations are touched (vqkit::decode).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/ops/packed_model.h"
#include "model/ops/scratch.h"

namespace vq {

/// The rows of several packed tensors one below the other.
class PackedLinear {
public:
    /// `exact`: fp32 sums of decoded weights instead of integer kernels.
    PackedLinear(std::shared_ptr<const PackedWeights> weights,
                 const std::vector<std::string>& names, bool exact);

    Index in() const { return in_; }
    /// Tensors; tensor i has the rows [begin(i), begin(i + 1)).
    Index parts() const { return static_cast<Index>(tensors_.size()); }
    Index begin(Index part) const { return begin_[static_cast<std::size_t>(part)]; }
    /// Bytes stored for all parts.
    std::int64_t bytes() const { return bytes_; }
    bool exact() const { return exact_; }

    /// y (tokens, rows of the part) = x (tokens, in) W^T, on all threads (on the calling one alone
    /// inside parallel_for).
    void apply(Index part, const float* x, Index tokens, float* y, ScratchPool& scratch) const;

    /// y[i] = W_i x for one token and all rows of each, which share one file: threads divide the
    /// rows of all among themselves.
    static void apply_together(std::span<const PackedLinear* const> linears, const float* x,
                               float* const* y, ScratchPool& scratch);

private:
    std::shared_ptr<const PackedWeights> weights_;
    std::vector<std::size_t> tensors_;
    std::vector<Index> begin_ = {0};
    Index in_ = 0;
    std::int64_t bytes_ = 0;
    bool exact_;
};

}  // namespace vq
