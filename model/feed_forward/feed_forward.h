// SPDX-License-Identifier: Apache-2.0
// FeedForward: the half of a block that takes every token by itself: an MLP, or a mixture of them.
//   stream += f(x)
// All activations are fp32, row-major, one row a token; the same bits at any number of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"
#include "model/ops/scratch.h"

namespace vq {

class FeedForward {
public:
    FeedForward() = default;
    FeedForward(const FeedForward&) = delete;
    FeedForward& operator=(const FeedForward&) = delete;
    virtual ~FeedForward() = default;

    /// stream (tokens, hidden) += factor f(x), x (tokens, hidden), which does not lie in `stream`.
    virtual void add(const float* x, Index tokens, float factor, float* stream,
                     ScratchPool& scratch) const = 0;
    /// Bytes of weights that a token reads.
    virtual std::int64_t weight_bytes() const = 0;
};

/// That of a block. `context` must outlive it.
std::unique_ptr<FeedForward> make_feed_forward(const BlockContext& context,
                                               const LayerWeights& weights);

}  // namespace vq
