// SPDX-License-Identifier: Apache-2.0
#include "model/token_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "model/head_slices.h"

namespace vq {

namespace {

struct TokenState {
    RunningSum model;
    TopFive five;
    RunningSum reference;
    double cross = 0;  // sum_j exp(r_j - top) (r_j - l_j)
    double target = 0;
    double reference_target = 0;
};

void tile_losses(const HeadInput& model, const HeadInput* reference,
                 std::span<const TokenId> targets, const TokenLosses& out, const Kernels& kernel) {
    const auto tokens = static_cast<Index>(targets.size());
    const Linear& head = model.model->head();
    const Index widest = head.widest_block();
    const auto own = model.model->scratch().floats(tokens * widest);
    const auto other = model.model->scratch().floats(reference != nullptr ? tokens * widest : 0);

    std::vector<TokenState> states(targets.size());
    for (Index b = 0; b < head.blocks(); ++b) {
        const Index first = head.block_begin(b);
        const Index n = head.block_end(b) - first;
        model.slice(tokens, b, own.floats());
        if (reference != nullptr) reference->slice(tokens, b, other.floats());
        for (Index t = 0; t < tokens; ++t) {
            TokenState& s = states[static_cast<std::size_t>(t)];
            const Index target = targets[static_cast<std::size_t>(t)] - first;
            const float* x = own.floats() + t * n;
            const float largest = kernel.max(x, n);
            s.model.raise(largest, x, n, first);
            if (target >= 0 && target < n) s.target = x[target];
            if (reference == nullptr) {
                s.model.sum += kernel.exp_sum(x, n, static_cast<float>(s.model.top));
                continue;
            }
            s.five.offer(largest, x, n, first);
            const float* r = other.floats() + t * n;
            s.cross *= s.reference.raise(kernel.max(r, n), r, n, first);
            if (target >= 0 && target < n) s.reference_target = r[target];
            const KlSums sums = kernel.kl_sums(r, x, n, static_cast<float>(s.reference.top),
                                               static_cast<float>(s.model.top));
            s.model.sum += sums.x;
            s.reference.sum += sums.ref;
            s.cross += sums.cross;
        }
    }
    for (std::size_t t = 0; t < targets.size(); ++t) {
        const TokenState& s = states[t];
        const double log_sum = s.model.log();
        out.nll[t] = log_sum - s.target;
        if (reference == nullptr) continue;
        const double reference_log_sum = s.reference.log();
        const double kl = s.cross / s.reference.sum - reference_log_sum + log_sum;
        out.reference_nll[t] = reference_log_sum - s.reference_target;
        out.kl[t] = kl < 0 ? 0 : kl;  // below 0 only by rounding
        out.choice[t] = {.same_top = s.model.argmax == s.reference.argmax,
                         .top_in_five = s.five.has(s.reference.argmax),
                         .right = s.model.argmax == targets[t],
                         .reference_right = s.reference.argmax == targets[t]};
    }
}

}  // namespace

void check_losses(const double* nll, Index tokens, const char* where) {
    if (std::all_of(nll, nll + tokens, [](double v) { return std::isfinite(v); })) return;
    throw Error("numbers overflow, or are no numbers", where, "check the weights of the head");
}

void token_losses(const LanguageModel& model, const float* hidden, const LanguageModel* reference,
                  const float* reference_hidden, std::span<const TokenId> targets,
                  const TokenLosses& out) {
    check_tokens(targets, model.config().vocab_size);
    VQ_ASSERT(out.nll != nullptr);
    if (reference != nullptr) {
        VQ_ASSERT(reference->config().vocab_size == model.config().vocab_size);
        VQ_ASSERT(out.reference_nll != nullptr && out.kl != nullptr && out.choice != nullptr);
    }
    const Kernels& kernel = kernels(active_isa());
    const auto tokens = static_cast<Index>(targets.size());
    const Index tiles = (tokens + Linear::tile_tokens - 1) / Linear::tile_tokens;
    parallel_for(tiles, [&](Index tile) {
        const Index first = tile * Linear::tile_tokens;
        const Index count = std::min(Linear::tile_tokens, tokens - first);
        const HeadInput x(model, hidden + first * model.config().hidden_size, count);
        TokenLosses part{.nll = out.nll + first};
        const auto part_targets =
            targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
        if (reference == nullptr) {
            tile_losses(x, nullptr, part_targets, part, kernel);
            return;
        }
        part.reference_nll = out.reference_nll + first;
        part.kl = out.kl + first;
        part.choice = out.choice + first;
        const HeadInput r(*reference, reference_hidden + first * reference->config().hidden_size,
                          count);
        tile_losses(x, &r, part_targets, part, kernel);
    });
    check_losses(out.nll, tokens, "the head's logits");
    if (reference == nullptr) return;
    check_losses(out.reference_nll, tokens, "the logits of the reference model's head");
}

}  // namespace vq
