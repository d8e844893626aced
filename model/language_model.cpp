// SPDX-License-Identifier: Apache-2.0
#include "model/language_model.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "model/check_runtime.h"
#include "model/ops/check_stream.h"
#include "model/ops/packed_linear.h"

namespace vq {

namespace {

Index checked_positions(const ModelConfig& config, Index positions) {
    if (positions == 0) return config.max_position;
    if (positions > config.max_position)
        throw Error(
            "the sequence is longer than the model can take",
            std::to_string(positions) + " tokens, at most " + std::to_string(config.max_position),
            "use a shorter context");
    return positions;
}

bool lends_keys(const ModelConfig& config) {
    return std::any_of(config.layers.begin(), config.layers.end(),
                       [](const LayerConfig& l) { return l.attention.lends_keys; });
}

const ModelConfig& checked(const ModelConfig& config) {
    check_runtime(config);
    return config;
}

}  // namespace

void check_tokens(std::span<const TokenId> tokens, Index vocab_size) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] >= 0 && tokens[i] < vocab_size) continue;
        throw Error("token id out of range",
                    "id " + std::to_string(tokens[i]) + " at token " + std::to_string(i) +
                        ", vocabulary of " + std::to_string(vocab_size),
                    "check that the tokenizer belongs to the model");
    }
}

KvCache::KvCache(const ModelConfig& config, Index capacity) : capacity_(capacity) {
    for (const LayerConfig& layer : config.layers) {
        const int from = layer.attention.keys_from;
        layers_.push_back(
            make_mixer_state(config, layer, capacity,
                             from < 0 ? nullptr : layers_[static_cast<std::size_t>(from)].get()));
    }
}

LanguageModel::LanguageModel(const WeightSource& source, Precision precision, Index positions,
                             const Progress& progress, bool packed_head)
    : context_(checked(source.config()), checked_positions(source.config(), positions)),
      scratch_(std::make_unique<ScratchPool>()),
      norm_(load_norm(source, config().final_norm, config().norm)) {
    const auto layers = config().layers.size();
    blocks_.resize(layers);
    std::mutex mutex;
    std::size_t done = 0;
    parallel_for(config().n_layers(), [&](Index layer) {
        {
            const std::lock_guard lock(mutex);
            progress.check();
        }
        blocks_[static_cast<std::size_t>(layer)] =
            std::make_unique<Block>(context_, LayerWeights{source, layer, precision});
        const std::lock_guard lock(mutex);
        progress.report(static_cast<double>(++done), static_cast<double>(layers),
                        "reading weights");
    });

    if (precision != Precision::bf16) packed_ = source.packed();
    const ModelTensor& output = config().output();
    const auto scale = static_cast<float>(config().logit_scale);
    if (scale != 1) norm_.scale(scale);
    Vector bias;
    if (output.bias) bias = scale * load_vector(source, output.bias_name());
    if (packed_ != nullptr && packed_head) {
        head_ =
            Linear(PackedLinear(packed_, {output.weight()}, precision == Precision::fp32), bias);
    } else {
        const bool tied = config().tie_embeddings;
        Matrix embedding;
        if (tied || packed_ == nullptr) embedding = source.read(config().embedding.weight());
        const Matrix own_head = tied ? Matrix() : source.read(output.weight());
        const Matrix* head = tied ? &embedding : &own_head;
        head_ = Linear(std::span(&head, 1), bias,
                       precision == Precision::int8 ? fastest_precision() : precision);
        if (packed_ == nullptr) embedding_ = WordTable(std::move(embedding));
    }
    if (packed_ != nullptr) embedding_ = WordTable(packed_, config().embedding.weight());
    if (config().layer_inputs.width > 0)
        inputs_ = std::make_unique<LayerInputTable>(context_, source, precision);
    if (config().logit_softcap > 0) head_.cap_outputs(static_cast<float>(config().logit_softcap));
    VQ_ASSERT(head_.out() == config().vocab_size);
}

LanguageModel::~LanguageModel() = default;

void LanguageModel::forward(std::span<const TokenId> tokens, KvCache* cache, float* hidden) const {
    VQ_ASSERT(blocks_.size() == config().layers.size());
    const Index width = config().hidden_size;
    const auto count = static_cast<Index>(tokens.size());
    if (cache == nullptr && lends_keys(config())) {
        KvCache own(config(), count);
        return forward(tokens, &own, hidden);
    }
    const Index past = cache != nullptr ? cache->length_ : 0;
    check_tokens(tokens, config().vocab_size);
    const Index room = cache != nullptr ? std::min(cache->capacity_, positions()) : positions();
    if (past + count > room)
        throw Error("the sequence is longer than was planned for",
                    std::to_string(past + count) + " tokens, at most " + std::to_string(room),
                    "use a shorter context");
    embedding_.read(tokens, hidden);
    const auto scale = static_cast<float>(config().embedding_scale);
    if (scale != 1) Eigen::Map<Vector>(hidden, count * width) *= scale;
    const Index all_inputs = inputs_ != nullptr ? inputs_->width() : 0;
    const auto inputs = scratch_->floats(count * all_inputs);
    if (inputs_ != nullptr) inputs_->make(tokens, hidden, inputs.floats(), *scratch_);
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
        const Index first = static_cast<Index>(layer) * config().layer_inputs.width;
        blocks_[layer]->forward(hidden, count, past,
                                cache != nullptr ? cache->layers_[layer].get() : nullptr, *scratch_,
                                {inputs.floats() + first, all_inputs});
        check_stream(hidden, count, width, layer_name(static_cast<Index>(layer)));
    }
    norm_.apply(hidden, count, hidden, *context_.kernel);
    if (cache != nullptr) cache->length_ += count;
}

void LanguageModel::drop_layers() {
    blocks_.clear();
    embedding_ = WordTable();
    inputs_.reset();
    scratch_ = std::make_unique<ScratchPool>();
}

std::int64_t LanguageModel::bytes_per_token() const {
    std::int64_t bytes = head_.weight_bytes();
    if (inputs_ != nullptr) bytes += inputs_->weight_bytes();
    for (const auto& block : blocks_) bytes += block->weight_bytes();
    return bytes;
}

Vector LanguageModel::logits(const float* hidden) const {
    Vector out(head_.out());
    head_.apply(hidden, 1, out.data(), *scratch_);
    check_stream(out.data(), 1, out.size(), "the head's logits");
    return out;
}

}  // namespace vq
