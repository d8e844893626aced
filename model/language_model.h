// SPDX-License-Identifier: Apache-2.0
// LanguageModel: a whole model with its weights resident, from any WeightSource.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/tokenizers/tokenizer.h"
#include "model/transformer.h"

namespace vq {

/// The state of one sequence: what the mixer of every layer keeps of it.
class KvCache {
public:
    KvCache(const ModelConfig& config, Index capacity);
    Index capacity() const { return capacity_; }
    Index length() const { return length_; }

private:
    friend class LanguageModel;
    std::vector<std::unique_ptr<MixerState>> layers_;
    Index capacity_;
    Index length_ = 0;
};

class LanguageModel {
public:
    /// Reads all weights. `positions`: the longest sequence that will be run (0: the model's
    /// maximum). Throws Error when it is more than that, or when a tensor cannot be read.
    /// Layers and embedding of a packed source stay packed; its head is made resident (with the
    /// fastest precision there is, fp32 for fp32), which suits many tokens at a time, unless
    /// `packed_head` is set, which suits writing text.
    LanguageModel(const WeightSource& source, Precision precision, Index positions,
                  const Progress& progress, bool packed_head = false);
    ~LanguageModel();
    LanguageModel(const LanguageModel&) = delete;
    LanguageModel& operator=(const LanguageModel&) = delete;

    const ModelConfig& config() const { return context_.config; }
    Index positions() const { return context_.positions; }

    /// hidden (tokens, hidden_size): what the head reads, for tokens that follow those in `cache`
    /// (none without a cache); the cache grows by them. Throws Error when a token id is out of
    /// range, the sequence gets longer than positions(), or numbers overflow (with the layer; the
    /// cache is then of no use). Thread-safe for different caches.
    void forward(std::span<const TokenId> tokens, KvCache* cache, float* hidden) const;

    /// Lets go of all weights but the head's, for a model whose states were kept: forward() must not
    /// be called any more.
    void drop_layers();

    /// The head: logits = head x, capped where the model says so. Use its blocks to see the logits
    /// of a slice of the vocabulary.
    const Linear& head() const { return head_; }
    /// logits (vocab_size) of one row of hidden.
    Vector logits(const float* hidden) const;
    /// Bytes of weights that are read for every token that is written.
    std::int64_t bytes_per_token() const;
    /// Temporary memory for callers of head().
    ScratchPool& scratch() const { return *scratch_; }

private:
    BlockContext context_;
    std::unique_ptr<ScratchPool> scratch_;
    WordTable embedding_;
    std::unique_ptr<LayerInputTable> inputs_;      ///< may be null
    std::shared_ptr<const PackedWeights> packed_;  ///< null: all weights are resident
    std::vector<std::unique_ptr<Block>> blocks_;
    Norm norm_;  ///< with what logits are multiplied by
    Linear head_;
};

/// Throws Error when an id is not in [0, vocab_size).
void check_tokens(std::span<const TokenId> tokens, Index vocab_size);

}  // namespace vq
