// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/router.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace vq {

namespace {

float sigmoid(float x) {
    return 1.0F / (1.0F + std::exp(-x));
}

void softmax(float* x, Index n) {
    const float top = *std::max_element(x, x + n);
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
    for (Index i = 0; i < n; ++i) x[i] /= sum;
}

}  // namespace

std::vector<std::vector<Index>> Routing::by_expert(Index n_experts) const {
    std::vector<std::vector<Index>> out(static_cast<std::size_t>(n_experts));
    for (std::size_t place = 0; place < experts.size(); ++place)
        out[static_cast<std::size_t>(experts[place])].push_back(static_cast<Index>(place));
    return out;
}

Router::Router(const BlockContext& context, const LayerWeights& weights)
    : kernel_(*context.kernel),
      config_(weights.config().mixture),
      logits_(weights.exact(weights.config().tensor(TensorRole::router))) {
    if (weights.find(TensorRole::router_bias) != nullptr)
        bias_ = weights.vector(TensorRole::router_bias);
    if (weights.find(TensorRole::expert_scale) != nullptr)
        scale_ = weights.vector(TensorRole::expert_scale);
    if (weights.find(TensorRole::router_scale) != nullptr) {
        norm_ = weights.norm(TensorRole::router_scale, NormKind::rms);
        norm_.scale(1.0F / std::sqrt(static_cast<float>(norm_.width())));
    }
    VQ_ASSERT(logits_.out() == config_.n_experts);
    VQ_ASSERT(bias_.size() == 0 || bias_.size() == config_.n_experts);
    VQ_ASSERT(scale_.size() == 0 || scale_.size() == config_.n_experts);
    VQ_ASSERT(config_.n_experts % config_.n_groups == 0);
}

// Of each group the sum of its two best says how good it is.
void Router::leave_best_groups(std::vector<float>& choice) const {
    const auto size = static_cast<std::ptrdiff_t>(config_.n_experts / config_.n_groups);
    std::vector<std::pair<float, Index>> groups;
    for (Index g = 0; g < config_.n_groups; ++g) {
        std::vector<float> members(choice.begin() + g * size, choice.begin() + (g + 1) * size);
        const auto best = std::min<std::ptrdiff_t>(2, size);
        std::partial_sort(members.begin(), members.begin() + best, members.end(), std::greater<>());
        groups.emplace_back(-std::accumulate(members.begin(), members.begin() + best, 0.0F), g);
    }
    std::sort(groups.begin(), groups.end());
    for (std::size_t i = static_cast<std::size_t>(config_.n_active_groups); i < groups.size(); ++i)
        std::fill_n(choice.begin() + groups[i].second * size, size,
                    -std::numeric_limits<float>::infinity());
}

void Router::choose(float* logits, std::int32_t* experts, float* weights) const {
    using Weight = MixtureConfig::Weight;
    const Index n = config_.n_experts;
    const auto active = static_cast<std::ptrdiff_t>(config_.n_active);
    switch (config_.weight) {
        case Weight::softmax: softmax(logits, n); break;
        case Weight::sigmoid:
        case Weight::sigmoid_of_input:
            for (Index e = 0; e < n; ++e) logits[e] = sigmoid(logits[e]);
            break;
        case Weight::softmax_of_chosen: break;
    }
    std::vector<float> choice(logits, logits + n);
    for (Index e = 0; e < bias_.size(); ++e) choice[static_cast<std::size_t>(e)] += bias_[e];
    if (config_.n_groups > 1) leave_best_groups(choice);
    std::vector<std::int32_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + active, order.end(),
                      [&](std::int32_t a, std::int32_t b) {
                          const float x = choice[static_cast<std::size_t>(a)];
                          const float y = choice[static_cast<std::size_t>(b)];
                          return x != y ? x > y : a < b;
                      });
    std::sort(order.begin(), order.begin() + active);
    for (std::ptrdiff_t i = 0; i < active; ++i) {
        experts[i] = order[static_cast<std::size_t>(i)];
        weights[i] = logits[experts[i]];
    }
    if (config_.weight == Weight::softmax_of_chosen) softmax(weights, config_.n_active);
    if (config_.normalized) {
        const float sum = std::accumulate(weights, weights + active, 0.0F);
        // Sigmoids may all be 0 in fp32.
        for (std::ptrdiff_t i = 0; i < active; ++i) weights[i] /= std::max(sum, 1e-20F);
    }
    for (std::ptrdiff_t i = 0; i < active; ++i) {
        weights[i] *= static_cast<float>(config_.scale);
        if (scale_.size() > 0) weights[i] *= scale_[experts[i]];
    }
}

Routing::Rows Routing::rows(std::span<const Index> places) const {
    Rows out;
    for (const Index place : places) {
        out.tokens.push_back(place / active);
        out.weights.push_back(weights[static_cast<std::size_t>(place)]);
    }
    return out;
}

Routing Router::route(const float* x, Index tokens, ScratchPool& scratch) const {
    Routing out{.active = config_.n_active, .experts = {}, .weights = {}};
    const auto places = static_cast<std::size_t>(tokens * out.active);
    out.experts.resize(places);
    out.weights.resize(places);
    const auto logits = scratch.floats(tokens * config_.n_experts);
    const auto normed = scratch.floats(norm_.empty() ? 0 : tokens * norm_.width());
    norm_.apply(x, tokens, normed.floats(), kernel_);
    logits_.apply(norm_.empty() ? x : normed.floats(), tokens, logits.floats(), scratch);
    for (Index t = 0; t < tokens; ++t)
        choose(logits.floats() + t * config_.n_experts, out.experts.data() + t * out.active,
               out.weights.data() + t * out.active);
    return out;
}

}  // namespace vq
