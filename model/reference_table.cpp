// SPDX-License-Identifier: Apache-2.0
#include "model/reference_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "model/head_slices.h"

namespace vq {

namespace {

// What is left of 1 behind k probabilities is known to the rounding of sums in fp32 only.
constexpr double least_rest = 1e-7;

// The k largest logits met so far: a heap whose front is the least of them. Of equal logits the
// token that comes first is the likelier.
class Likeliest {
public:
    explicit Likeliest(Index k) : k_(static_cast<std::size_t>(k)) { heap_.reserve(k_); }

    void offer(float largest, const float* slice, Index n, Index first) {
        if (heap_.size() == k_ && largest <= heap_.front().first) return;
        for (Index i = 0; i < n; ++i) {
            if (heap_.size() == k_) {
                if (slice[i] <= heap_.front().first) continue;
                std::pop_heap(heap_.begin(), heap_.end(), before);
                heap_.pop_back();
            }
            heap_.emplace_back(slice[i], static_cast<std::uint32_t>(first + i));
            std::push_heap(heap_.begin(), heap_.end(), before);
        }
    }
    std::vector<std::pair<float, std::uint32_t>>& by_token() {
        std::sort(heap_.begin(), heap_.end(),
                  [](const auto& a, const auto& b) { return a.second < b.second; });
        return heap_;
    }

private:
    static bool before(const std::pair<float, std::uint32_t>& a,
                       const std::pair<float, std::uint32_t>& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    }
    std::size_t k_;
    std::vector<std::pair<float, std::uint32_t>> heap_;
};

struct RowState {
    explicit RowState(Index k) : likeliest(k) {}

    RunningSum sum;
    Likeliest likeliest;
    double target = 0;
};

void tile_rows(const HeadInput& input, std::span<const TokenId> targets, Index row,
               ReferenceTable& table, const Kernels& kernel) {
    const auto tokens = static_cast<Index>(targets.size());
    const Linear& head = input.model->head();
    const auto logits = input.model->scratch().floats(tokens * head.widest_block());
    std::vector<RowState> states(targets.size(), RowState(table.k));
    for (Index b = 0; b < head.blocks(); ++b) {
        const Index first = head.block_begin(b);
        const Index n = head.block_end(b) - first;
        input.slice(tokens, b, logits.floats());
        for (Index t = 0; t < tokens; ++t) {
            RowState& s = states[static_cast<std::size_t>(t)];
            const Index target = targets[static_cast<std::size_t>(t)] - first;
            const float* x = logits.floats() + t * n;
            const float largest = kernel.max(x, n);
            s.sum.raise(largest, x, n, first);
            s.sum.sum += kernel.exp_sum(x, n, static_cast<float>(s.sum.top));
            s.likeliest.offer(largest, x, n, first);
            if (target >= 0 && target < n) s.target = x[target];
        }
    }
    for (std::size_t t = 0; t < targets.size(); ++t) {
        const auto at = static_cast<std::size_t>(row) + t;
        const double log_sum = states[t].sum.log();
        double rest = 1;
        std::size_t out = at * static_cast<std::size_t>(table.k);
        for (const auto& [logit, token] : states[t].likeliest.by_token()) {
            const double log_p = static_cast<double>(logit) - log_sum;
            rest -= std::exp(log_p);
            table.ids[out] = token;
            table.log_p[out++] = static_cast<float>(log_p);
        }
        const bool all = table.k == table.vocab_size;
        table.rest[at] = all || rest < least_rest ? 0 : static_cast<float>(rest);
        table.top[at] = static_cast<std::uint32_t>(states[t].sum.argmax);
        table.nll[at] = log_sum - states[t].target;
    }
}

struct LossState {
    RunningSum sum;
    TopFive five;
    double target = 0;
    Index next = 0;  // of the row's tokens, the first whose logit is still to come
};

double row_divergence(const ReferenceTable& table, std::size_t at, const float* logits,
                      double log_sum) {
    double kl = 0;
    double others = 1;
    const auto k = static_cast<std::size_t>(table.k);
    for (std::size_t j = 0; j < k; ++j) {
        const double log_p = static_cast<double>(table.log_p[at * k + j]);
        const double log_q = static_cast<double>(logits[j]) - log_sum;
        const double p = std::exp(log_p);
        if (p > 0) kl += p * (log_p - log_q);
        others -= std::exp(log_q);
    }
    const auto rest = static_cast<double>(table.rest[at]);
    if (rest > 0) kl += rest * (std::log(rest) - std::log(std::max(others, least_rest)));
    return std::max(kl, 0.0);  // below 0 only by rounding
}

void tile_losses(const HeadInput& input, const ReferenceTable& table, Index row,
                 std::span<const TokenId> targets, const TokenLosses& out, const Kernels& kernel) {
    const auto tokens = static_cast<Index>(targets.size());
    const Linear& head = input.model->head();
    const auto slice = input.model->scratch().floats(tokens * head.widest_block());
    const auto kept = input.model->scratch().floats(tokens * table.k);
    std::vector<LossState> states(targets.size());
    for (Index b = 0; b < head.blocks(); ++b) {
        const Index first = head.block_begin(b);
        const Index end = head.block_end(b);
        const Index n = end - first;
        input.slice(tokens, b, slice.floats());
        for (Index t = 0; t < tokens; ++t) {
            LossState& s = states[static_cast<std::size_t>(t)];
            const Index target = targets[static_cast<std::size_t>(t)] - first;
            const float* x = slice.floats() + t * n;
            const float largest = kernel.max(x, n);
            s.sum.raise(largest, x, n, first);
            s.sum.sum += kernel.exp_sum(x, n, static_cast<float>(s.sum.top));
            s.five.offer(largest, x, n, first);
            if (target >= 0 && target < n) s.target = x[target];
            const std::uint32_t* ids = table.ids.data() + (row + t) * table.k;
            for (; s.next < table.k && static_cast<Index>(ids[s.next]) < end; ++s.next)
                kept.floats()[t * table.k + s.next] = x[static_cast<Index>(ids[s.next]) - first];
        }
    }
    for (std::size_t t = 0; t < targets.size(); ++t) {
        const LossState& s = states[t];
        const auto at = static_cast<std::size_t>(row) + t;
        const double log_sum = s.sum.log();
        const auto top = static_cast<Index>(table.top[at]);
        out.nll[t] = log_sum - s.target;
        out.reference_nll[t] = table.nll[at];
        out.kl[t] =
            row_divergence(table, at, kept.floats() + static_cast<Index>(t) * table.k, log_sum);
        out.choice[t] = {.same_top = s.sum.argmax == top,
                         .top_in_five = s.five.has(top),
                         .right = s.sum.argmax == targets[t],
                         .reference_right = top == targets[t]};
    }
}

// f(first token, count) for tiles of a window.
template <class F>
void for_tiles(std::size_t targets, F&& f) {
    const auto tokens = static_cast<Index>(targets);
    parallel_for((tokens + Linear::tile_tokens - 1) / Linear::tile_tokens, [&](Index tile) {
        const Index first = tile * Linear::tile_tokens;
        f(first, std::min(Linear::tile_tokens, tokens - first));
    });
}

}  // namespace

ReferenceTable::ReferenceTable(Index vocabulary, Index kept, Index places)
    : vocab_size(vocabulary), k(std::min(kept, vocabulary)) {
    VQ_ASSERT(k > 0 && places >= 0);
    const auto rows = static_cast<std::size_t>(places);
    ids.resize(rows * static_cast<std::size_t>(k));
    log_p.resize(ids.size());
    rest.resize(rows);
    top.resize(rows);
    nll.resize(rows);
}

std::int64_t ReferenceTable::bytes() const {
    return static_cast<std::int64_t>(ids.size() * (sizeof ids[0] + sizeof log_p[0]) +
                                     nll.size() * (sizeof rest[0] + sizeof top[0] + sizeof nll[0]));
}

double ReferenceTable::mean_rest() const {
    double sum = 0;
    for (const float p : rest) sum += static_cast<double>(p);
    return sum / static_cast<double>(places());
}

void likeliest_tokens(const LanguageModel& model, const float* hidden,
                      std::span<const TokenId> targets, Index first, ReferenceTable& table) {
    VQ_ASSERT(model.config().vocab_size == table.vocab_size);
    const Kernels& kernel = kernels(active_isa());
    for_tiles(targets.size(), [&](Index at, Index count) {
        const HeadInput x(model, hidden + at * model.config().hidden_size, count);
        tile_rows(x, targets.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count)),
                  first + at, table, kernel);
    });
    const double* nll = table.nll.data() + first;
    check_losses(nll, static_cast<Index>(targets.size()), "the head's logits");
}

void token_losses(const LanguageModel& model, const float* hidden, const ReferenceTable& table,
                  Index first, std::span<const TokenId> targets, const TokenLosses& out) {
    VQ_ASSERT(model.config().vocab_size == table.vocab_size);
    VQ_ASSERT(out.nll != nullptr && out.reference_nll != nullptr && out.kl != nullptr);
    VQ_ASSERT(out.choice != nullptr);
    const Kernels& kernel = kernels(active_isa());
    for_tiles(targets.size(), [&](Index at, Index count) {
        const HeadInput x(model, hidden + at * model.config().hidden_size, count);
        const TokenLosses part{.nll = out.nll + at,
                               .reference_nll = out.reference_nll + at,
                               .kl = out.kl + at,
                               .choice = out.choice + at};
        tile_losses(x, table, first + at,
                    targets.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count)),
                    part, kernel);
    });
    check_losses(out.nll, static_cast<Index>(targets.size()), "the head's logits");
}

}  // namespace vq
