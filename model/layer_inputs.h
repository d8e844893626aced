// SPDX-License-Identifier: Apache-2.0
// What every block takes of a token beside the stream (LayerInputs of the configuration), and what
// a block does with it:
//   stream += norm(W_out (act(W_gate stream) * input))
#pragma once

#include <span>

#include "io/tokenizers/tokenizer.h"
#include "model/ops/block_context.h"
#include "model/ops/layer_weights.h"
#include "model/word_table.h"

namespace vq {

/// Makes the inputs of all blocks.
class LayerInputTable {
public:
    /// The model has such inputs. `context` must outlive the table.
    LayerInputTable(const BlockContext& context, const WeightSource& source, Precision precision);
    Index width() const { return words_.width(); }  ///< of all blocks together
    std::int64_t weight_bytes() const { return projection_.weight_bytes(); }
    /// out (tokens, width): one block's part behind the other. `embedded` (tokens, hidden): the
    /// tokens' rows of the embedding, scaled.
    void make(std::span<const TokenId> tokens, const float* embedded, float* out,
              ScratchPool& scratch) const;

private:
    const BlockContext& context_;
    WordTable words_;
    Linear projection_;
    Norm norm_;
};

/// One block's part for some tokens: rows `stride` values apart.
struct LayerInputRows {
    const float* values = nullptr;
    Index stride = 0;
};

/// The end of a block that takes such inputs.
class LayerInput {
public:
    LayerInput(const BlockContext& context, const LayerWeights& weights);
    /// out (tokens, width): what W_out reads, of x (tokens, hidden).
    void inside(const float* x, Index tokens, const LayerInputRows& inputs, float* out,
                ScratchPool& scratch) const;
    void add(const LayerInputRows& inputs, Index tokens, float* stream, ScratchPool& scratch) const;
    std::int64_t weight_bytes() const { return gate_.weight_bytes() + out_.weight_bytes(); }

private:
    const Kernels& kernel_;
    Kernels::Activate activate_;
    Linear gate_;
    Linear out_;
    Norm norm_;
};

}  // namespace vq
