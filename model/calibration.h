// SPDX-License-Identifier: Apache-2.0
// CalibrationWalk: calibration text flows through a model block by block, so that each linear
// layer's inputs can be seen, and its weights replaced, before the text goes on.
#pragma once

#include <memory>
#include <vector>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/tokenizers/tokenizer.h"
#include "model/layer_walk.h"
#include "model/ops/linear.h"

namespace vq {

struct CalibrationOptions {
    Precision precision = Precision::fp32;
    /// Inputs that are made from what is kept (norms, the MLP's inside) are handed on in slabs of
    /// whole windows of at most this size (at least one window).
    std::int64_t slab_bytes = std::int64_t{64} << 20;
    /// The MLP's inside (tokens, intermediate) is kept for finish() if it takes at most this many
    /// bytes, and made twice otherwise.
    std::int64_t keep_bytes = std::int64_t{512} << 20;
    /// The text also flows through the original model, so that collect() can tell the drift: twice
    /// the time and memory.
    bool follow_original = false;
};

/// Memory: the residual stream (tokens, hidden) and the attention's output (tokens, heads *
/// head_dim) in fp32, one group's weights, one slab; in a mixture also what its experts give
/// (tokens, hidden) and one expert's weights. Results do not depend on the number of threads.
/// Groups may be left out: collect() and finish() bring the text as far as they need.
class CalibrationWalk : public LayerWalk {
public:
    /// `source` must outlive the walk. Every window is a sequence of its own. Throws Error when a
    /// token id is out of range, a window is longer than the model can take, or there is no token.
    CalibrationWalk(const WeightSource& source, const std::vector<std::vector<TokenId>>& windows,
                    const CalibrationOptions& options, const Progress& progress);
    ~CalibrationWalk() override;
    CalibrationWalk(const CalibrationWalk&) = delete;
    CalibrationWalk& operator=(const CalibrationWalk&) = delete;

    Index layers() const;
    void collect(Index layer, Index group, HessianSum& sum, DriftSum* drift = nullptr) override;
    void replace(const std::string& name, Matrix weight) override;
    void finish(Index layer) override;
    std::vector<Index> expert_tokens() const override;
    Index tokens() const;  ///< of the text that flows through

    /// The residual stream (tokens, hidden), windows one after the other: what the next block
    /// reads.
    const Matrix& stream() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    std::unique_ptr<Impl> original_;  ///< without replacements; null unless follow_original
};

}  // namespace vq
