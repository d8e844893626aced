// SPDX-License-Identifier: Apache-2.0
#include "model/token_loss.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
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

// The five largest logits met so far, the largest first.
struct TopFive {
    std::array<float, 5> logits;
    std::array<Index, 5> tokens{};

    TopFive() { logits.fill(-std::numeric_limits<float>::infinity()); }
    // Most slices have nothing to add, and their largest logit is known.
    void offer(float largest, const float* slice, Index n, Index first) {
        if (!(largest > logits.back())) return;
        for (Index i = 0; i < n; ++i) {
            if (!(slice[i] > logits.back())) continue;
            std::size_t at = logits.size() - 1;
            for (; at > 0 && slice[i] > logits[at - 1]; --at) {
                logits[at] = logits[at - 1];
                tokens[at] = tokens[at - 1];
            }
            logits[at] = slice[i];
            tokens[at] = first + i;
        }
    }
    bool has(Index token) const {
        return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
    }
};

struct TokenState {
    RunningSum model;
    TopFive five;
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

void check_losses(const double* nll, Index tokens, const char* where) {
    if (std::all_of(nll, nll + tokens, [](double v) { return std::isfinite(v); })) return;
    throw Error("numbers overflow, or are no numbers", where, "check the weights of the head");
}

}  // namespace

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
