// SPDX-License-Identifier: Apache-2.0
#include "model/token_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

namespace vq {

namespace {

constexpr double none = -1e300;

// sum_j exp(l_j) as sum * exp(top), and where the largest logit is.
struct RunningSum {
    double top = none;
    double sum = 0;
    Index argmax = 0;

    double log() const { return top + std::log(sum); }
    // Makes room for a slice whose largest logit is `largest`; the factor by which old sums shrink.
    double raise(float largest, const float* slice, Index n, Index first) {
        if (largest <= top) return 1.0;
        const double factor = sum == 0 ? 0.0 : std::exp(top - static_cast<double>(largest));
        top = static_cast<double>(largest);
        sum *= factor;
        argmax = first + (std::find(slice, slice + n, largest) - slice);
        return factor;
    }
};

struct TokenState {
    RunningSum model;
    RunningSum reference;
    double cross = 0;  // sum_j exp(r_j - top) (r_j - l_j)
    double target = 0;
    double reference_target = 0;
};

// The head's operand for a tile of tokens, in its precision.
struct HeadInput {
    const LanguageModel* model;
    ScratchPool::Buffer rounded;
    const void* operand;

    HeadInput(const LanguageModel& m, const float* hidden, Index tokens)
        : model(&m),
          rounded(m.scratch().bytes(m.head().operand_bytes(tokens))),
          operand(m.head().operand(hidden, tokens, rounded.data())) {}
    void slice(Index tokens, Index b, float* logits) const {
        model->head().apply_block(operand, tokens, b, logits, model->scratch());
    }
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
            s.model.raise(kernel.max(x, n), x, n, first);
            if (target >= 0 && target < n) s.target = x[target];
            if (reference == nullptr) {
                s.model.sum += kernel.exp_sum(x, n, static_cast<float>(s.model.top));
                continue;
            }
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
        out.agree[t] = s.model.argmax == s.reference.argmax ? 1 : 0;
    }
}

}  // namespace

void token_losses(const LanguageModel& model, const float* hidden, const LanguageModel* reference,
                  const float* reference_hidden, std::span<const TokenId> targets,
                  const TokenLosses& out) {
    check_tokens(targets, model.config().vocab_size);
    VQ_ASSERT(out.nll != nullptr);
    if (reference != nullptr) {
        VQ_ASSERT(reference->config().vocab_size == model.config().vocab_size);
        VQ_ASSERT(out.reference_nll != nullptr && out.kl != nullptr && out.agree != nullptr);
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
        part.agree = out.agree + first;
        const HeadInput r(*reference, reference_hidden + first * reference->config().hidden_size,
                          count);
        tile_losses(x, &r, part_targets, part, kernel);
    });
}

}  // namespace vq
