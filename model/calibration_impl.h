// SPDX-License-Identifier: Apache-2.0
// The inside of CalibrationWalk: where the text is, and what is kept of it there.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "model/calibration.h"
#include "model/calibration_experts.h"
#include "model/transformer.h"

namespace vq {

/// How far the text is inside a block.
enum class CalibrationStage : std::uint8_t {
    entered,  // stream: the block's input
    mixed,    // kept: what the mixer's last layer reads
    between,  // stream: the input of the block's second half
    inside,   // the MLP's inside was collected (kept, if there is room)
    behind,   // stream: with what the feed-forward gives
};

/// Windows [first, last) and their tokens [row, row + rows).
struct CalibrationSlab {
    Index first;
    Index last;
    Index row;
    Index rows;
};

struct CalibrationWalk::Impl {
    using Stage = CalibrationStage;
    using Slab = CalibrationSlab;
    class Reader;
    const WeightSource& source;
    CalibrationOptions options;
    Progress progress;
    BlockContext context;
    ScratchPool scratch;
    std::vector<Index> begin;  // first token of each window, and the end
    std::vector<TokenId> ids;  // of all windows
    Matrix stream;             // (tokens, hidden)
    Matrix kept;               // what the mixer's last layer reads, then the MLP's inside
    Matrix entered;            // in parallel blocks, from `between` on: what both halves read
    bool inside_kept = false;
    Index layer = 0;
    Stage stage = Stage::entered;
    Replacements replacements;
    std::unique_ptr<ExpertWalk> routed;  // of a mixture, from its first use on
    // Keys and values that later blocks look at, by block and window.
    std::map<Index, std::vector<std::unique_ptr<MixerState>>> lent;
    Matrix inputs;                // every block's, of each word of the text; may be empty
    std::vector<Index> input_of;  // each token's row of it

    Impl(const WeightSource& from, const CalibrationOptions& how, const Progress& report,
         Index positions)
        : source(from), options(how), progress(report), context(from.config(), positions) {}

    const ModelConfig& config() const { return context.config; }
    Index windows() const { return static_cast<Index>(begin.size()) - 1; }
    Index tokens() const { return begin.back(); }

    /// The block that the text is in.
    const LayerConfig& block() const { return config().layers[static_cast<std::size_t>(layer)]; }
    /// How many inputs the layers of one of its groups have.
    Index inputs_of(GroupKind group) const {
        for (const ModelTensor& tensor : block().tensors)
            if (group_of(tensor.role) == group) return tensor.cols;
        VQ_ASSERT(false);
        return 0;
    }

    LayerWeights weights() const { return {source, layer, options.precision, &replacements}; }

    // f(row, rows) for windows [first, last); windows in parallel, or threads inside each window.
    template <class F>
    void for_windows(Index first, Index last, F&& f) {
        progress.check();
        parallel_for_outer(last - first, [&](Index i) {
            const auto w = static_cast<std::size_t>(first + i);
            f(begin[w], begin[w + 1] - begin[w]);
        });
    }

    template <class F>
    void for_slabs(Index width, F&& f) {
        const Index most =
            std::max<Index>(1, options.slab_bytes / (width * static_cast<Index>(sizeof(float))));
        for (Index first = 0; first < windows();) {
            Index last = first + 1;
            const Index row = begin[static_cast<std::size_t>(first)];
            while (last < windows() && begin[static_cast<std::size_t>(last) + 1] - row <= most)
                ++last;
            f(Slab{first, last, row, begin[static_cast<std::size_t>(last)] - row});
            first = last;
        }
    }

    MixtureStream mixture_stream();
    ExpertWalk& experts();
    void settle_experts(const std::vector<LinearGroup>& groups, Index group);
    const float* feed_forward_input(const HalfNorms& norms, Index row, Index rows, float* out);
    MixerState* state_of(Index row);
    void make_inputs(const Matrix& embedding);
    LayerInputRows input_rows(Index row, Index rows, float* out) const;
    void mix();
    void lend_states();
    void add_mixed();
    void start(const std::vector<std::vector<TokenId>>& text);
    void enter(const Matrix& embedding);
    void add_feed_forward();
    void add_beside(const LayerWeights& from);
    void add_input();
    void finish();
    void advance(Stage to);
    void collect_head(HessianSum& sum);
};

}  // namespace vq
