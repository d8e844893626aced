// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/mixture.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/ops/token_tiles.h"

namespace vq {

namespace {

// Tokens that are grouped at a time: what their experts give is kept until it is added up.
constexpr Index batch_tokens = 1024;

// What an expert reads of x: the rows of its tokens, times what they weigh if it is `scaled`.
void gather_routed(const Routing& routing, const std::vector<Index>& places, const float* x,
                   Index hidden, bool scaled, float* out) {
    for (std::size_t i = 0; i < places.size(); ++i) {
        const Index place = places[i];
        float* const to = out + static_cast<Index>(i) * hidden;
        std::copy_n(x + place / routing.active * hidden, hidden, to);
        if (scaled)
            Eigen::Map<Vector>(to, hidden) *= routing.weights[static_cast<std::size_t>(place)];
    }
}

}  // namespace

SharedExperts::SharedExperts(const BlockContext& context, const LayerWeights& weights)
    : mlp_(context, weights, shared_mlp, weights.config().mixture.activation) {
    if (weights.find(TensorRole::shared_switch) != nullptr)
        switch_ = weights.vector(TensorRole::shared_switch);
}

void SharedExperts::add(const float* x, Index tokens, float factor, float* stream,
                        ScratchPool& scratch) const {
    if (switch_.size() == 0) {
        mlp_.add(x, tokens, factor, stream, scratch);
        return;
    }
    const Index hidden = switch_.size();
    for_token_tiles(tokens, [&](Index first, Index count) {
        const auto given = scratch.floats(count * hidden);
        mlp_.apply(x + first * hidden, count, given.floats(), scratch);
        for (Index t = 0; t < count; ++t) {
            const Index row = (first + t) * hidden;
            const float open = Eigen::Map<const Vector>(x + row, hidden).dot(switch_);
            Eigen::Map<Vector>(stream + row, hidden) +=
                factor / (1.0F + std::exp(-open)) *
                Eigen::Map<const Vector>(given.floats() + t * hidden, hidden);
        }
    });
}

Mixture::Mixture(const BlockContext& context, const LayerWeights& weights)
    : hidden_(context.config.hidden_size),
      scales_input_(weights.config().mixture.scales_input()),
      router_(context, weights) {
    const MixtureConfig& config = weights.config().mixture;
    for (Index e = 0; e < config.n_experts; ++e)
        experts_.push_back(
            std::make_unique<Mlp>(context, weights, expert_mlp, config.activation, e));
    if (config.shared_width > 0) shared_ = std::make_unique<SharedExperts>(context, weights);
}

void Mixture::add(const float* x, Index tokens, float factor, float* stream,
                  ScratchPool& scratch) const {
    add_routed(x, x, tokens, factor, stream, scratch);
}

void Mixture::add_routed(const float* by, const float* x, Index tokens, float factor, float* stream,
                         ScratchPool& scratch) const {
    for (Index first = 0; first < tokens; first += batch_tokens)
        add_some(by + first * hidden_, x + first * hidden_, std::min(batch_tokens, tokens - first),
                 factor, stream + first * hidden_, scratch);
    if (shared_ != nullptr) shared_->add(x, tokens, factor, stream, scratch);
}

void Mixture::add_some(const float* by, const float* x, Index tokens, float factor, float* stream,
                       ScratchPool& scratch) const {
    const Routing routing = router_.route(by, tokens, scratch);
    const auto by_expert = routing.by_expert(static_cast<Index>(experts_.size()));
    std::vector<std::size_t> busy;  // experts with tokens, and the first row of what they give
    std::vector<Index> begin;
    Index rows = 0;
    std::vector<Index> row_of(routing.experts.size());
    for (std::size_t e = 0; e < by_expert.size(); ++e) {
        if (by_expert[e].empty()) continue;
        busy.push_back(e);
        begin.push_back(rows);
        for (const Index place : by_expert[e]) row_of[static_cast<std::size_t>(place)] = rows++;
    }
    const auto given = scratch.floats(rows * hidden_);
    parallel_for_outer(static_cast<Index>(busy.size()), [&](Index i) {
        const std::size_t e = busy[static_cast<std::size_t>(i)];
        const auto count = static_cast<Index>(by_expert[e].size());
        const auto own = scratch.floats(count * hidden_);
        gather_routed(routing, by_expert[e], x, hidden_, scales_input_, own.floats());
        experts_[e]->apply(own.floats(), count,
                           given.floats() + begin[static_cast<std::size_t>(i)] * hidden_, scratch);
    });
    for (std::size_t place = 0; place < row_of.size(); ++place) {
        const Index token = static_cast<Index>(place) / routing.active;
        const float weight = scales_input_ ? 1.0F : routing.weights[place];
        Eigen::Map<Vector>(stream + token * hidden_, hidden_) +=
            factor * weight *
            Eigen::Map<const Vector>(given.floats() + row_of[place] * hidden_, hidden_);
    }
}

std::int64_t Mixture::weight_bytes() const {
    std::int64_t all = 0;
    for (const auto& expert : experts_) all += expert->weight_bytes();
    const auto n = static_cast<std::int64_t>(experts_.size());
    // A token goes to so many of them.
    const std::int64_t read = all * static_cast<std::int64_t>(router_.active()) / n;
    return router_.weight_bytes() + read + (shared_ != nullptr ? shared_->weight_bytes() : 0);
}

}  // namespace vq
