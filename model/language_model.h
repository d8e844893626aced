// LanguageModel: a whole Llama-family model with its weights resident, from any WeightSource.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/progress.h"
#include "io/tokenizer.h"
#include "io/weight_source.h"
#include "model/transformer.h"

namespace vq {

/// The state of one sequence: keys and values of every layer.
class KvCache {
public:
    KvCache(const ModelConfig& config, Index capacity);
    Index capacity() const { return capacity_; }
    Index length() const { return length_; }

private:
    friend class LanguageModel;
    std::vector<LayerCache> layers_;
    Index capacity_;
    Index length_ = 0;
};

class LanguageModel {
public:
    /// Reads all weights. `positions`: the longest sequence that will be run (0: the model's
    /// maximum). Throws Error when it is more than that, or when a tensor cannot be read.
    LanguageModel(const WeightSource& source, Precision precision, Index positions,
                  const Progress& progress);
    ~LanguageModel();
    LanguageModel(const LanguageModel&) = delete;
    LanguageModel& operator=(const LanguageModel&) = delete;

    const ModelConfig& config() const { return context_.config; }
    Index positions() const { return context_.rope.positions(); }

    /// hidden (tokens, hidden_size): what the head reads, for tokens that follow those in `cache`
    /// (none without a cache); the cache grows by them. Throws Error when a token id is out of
    /// range or the sequence gets longer than positions(). Thread-safe for different caches.
    void forward(std::span<const TokenId> tokens, KvCache* cache, float* hidden) const;

    /// The head: logits = head x. Use its blocks to see the logits of a slice of the vocabulary.
    const Linear& head() const { return head_; }
    /// logits (vocab_size) of one row of hidden.
    Vector logits(const float* hidden) const;
    /// Temporary memory for callers of head().
    ScratchPool& scratch() const { return *scratch_; }

private:
    BlockContext context_;
    std::unique_ptr<ScratchPool> scratch_;
    Matrix embedding_;
    std::vector<Block> blocks_;
    Vector norm_;
    Linear head_;
};

/// Throws Error when an id is not in [0, vocab_size).
void check_tokens(std::span<const TokenId> tokens, Index vocab_size);

}  // namespace vq
