// SPDX-License-Identifier: Apache-2.0
#include "model/reference_table.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "model/head_slices.h"

namespace vq {

namespace {

// What is left of 1 behind k probabilities is known to the rounding of sums in fp32 only.
constexpr double least_rest = 1e-7;

struct Candidate {
    float logit = 0;
    std::uint32_t token = 0;
    double priority = 0;  // in nats, of those that are not among the likeliest
};

// The k largest logits met so far, and a priority sample of the others: heaps whose fronts are the
// least of them. Of equal logits the token that comes first is the likelier.
class Likeliest {
public:
    Likeliest(Index k, Index m, std::uint64_t seed)
        : k_(static_cast<std::size_t>(k)), m_(static_cast<std::size_t>(m)), seed_(seed) {
        top_.reserve(k_);
        sample_.reserve(m_ + 2);
    }

    void offer(float largest, const float* slice, Index n, Index first) {
        // Of a random number above this none of the slice comes into the sample.
        const double bound =
            sample_.size() <= m_
                ? 1.0
                : std::exp(static_cast<double>(largest) - sample_.front().priority);
        for (Index i = 0; i < n; ++i) {
            Candidate candidate{slice[i], static_cast<std::uint32_t>(first + i)};
            if (top_.size() < k_ || candidate.logit > top_.front().logit) {
                top_.push_back(candidate);
                std::push_heap(top_.begin(), top_.end(), likelier);
                if (top_.size() <= k_) continue;
                std::pop_heap(top_.begin(), top_.end(), likelier);
                candidate = top_.back();
                top_.pop_back();
            }
            if (m_ > 0) draw(candidate, bound);
        }
    }

    // By token; those of the sample have a weight of their own, in nats.
    struct Kept {
        float logit;
        std::uint32_t token;
        double log_weight;
        bool sampled;
    };
    std::vector<Kept> kept() {
        std::vector<Kept> all;
        for (const Candidate& c : top_) all.push_back({c.logit, c.token, 0, false});
        double threshold = no_logit;
        if (sample_.size() > m_) {
            std::pop_heap(sample_.begin(), sample_.end(), higher);
            threshold = sample_.back().priority;
            sample_.pop_back();
        }
        for (const Candidate& c : sample_)
            all.push_back(
                {c.logit, c.token, std::max(static_cast<double>(c.logit), threshold), true});
        std::sort(all.begin(), all.end(),
                  [](const Kept& a, const Kept& b) { return a.token < b.token; });
        return all;
    }

private:
    void draw(Candidate candidate, double bound) {
        const double u = random_uniform(seed_, candidate.token);
        if (u > bound) return;
        candidate.priority = static_cast<double>(candidate.logit) - std::log(u);
        if (sample_.size() > m_ && candidate.priority <= sample_.front().priority) return;
        sample_.push_back(candidate);
        std::push_heap(sample_.begin(), sample_.end(), higher);
        if (sample_.size() <= m_ + 1) return;
        std::pop_heap(sample_.begin(), sample_.end(), higher);
        sample_.pop_back();
    }
    static bool likelier(const Candidate& a, const Candidate& b) {
        return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
    }
    static bool higher(const Candidate& a, const Candidate& b) { return a.priority > b.priority; }

    std::size_t k_;
    std::size_t m_;
    std::uint64_t seed_;
    std::vector<Candidate> top_;
    std::vector<Candidate> sample_;
};

struct RowState {
    RowState(const ReferenceTable& table, std::size_t row)
        : likeliest(table.k, table.m, static_cast<std::uint64_t>(row)) {}

    RunningSum sum;
    Likeliest likeliest;
    double target = 0;
};

void tile_rows(const HeadInput& input, std::span<const TokenId> targets, Index row,
               ReferenceTable& table, const Kernels& kernel) {
    const auto tokens = static_cast<Index>(targets.size());
    const Linear& head = input.model->head();
    const auto logits = input.model->scratch().floats(tokens * head.widest_block());
    std::vector<RowState> states;
    for (std::size_t t = 0; t < targets.size(); ++t)
        states.emplace_back(table, static_cast<std::size_t>(row) + t);
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
        std::size_t out = at * static_cast<std::size_t>(table.kept());
        for (const Likeliest::Kept& kept : states[t].likeliest.kept()) {
            const double log_p = static_cast<double>(kept.logit) - log_sum;
            if (!kept.sampled) rest -= std::exp(log_p);
            table.ids[out] = kept.token;
            table.log_p[out] = static_cast<float>(log_p);
            table.weight[out++] =
                kept.sampled ? static_cast<float>(std::exp(kept.log_weight - log_sum)) : 0;
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
    double weights = 0;
    double sampled = 0;
    const auto n = static_cast<std::size_t>(table.kept());
    for (std::size_t j = 0; j < n; ++j) {
        const double log_p = static_cast<double>(table.log_p[at * n + j]);
        const double log_q = static_cast<double>(logits[j]) - log_sum;
        const auto weight = static_cast<double>(table.weight[at * n + j]);
        if (weight > 0) {
            weights += weight;
            sampled += weight * (log_p - log_q);
            continue;
        }
        const double p = std::exp(log_p);
        others -= std::exp(log_q);
        // Words that cannot be said, and those of the sample whose weight rounded to 0.
        if (p > 0) kl += p * (log_p - log_q);
    }
    const auto rest = static_cast<double>(table.rest[at]);
    if (rest == 0) return std::max(kl, 0.0);  // below 0 only by rounding
    const double c = std::log(rest) - std::log(std::max(others, least_rest));
    kl += rest * c + sampled - weights * c;
    return table.m > 0 ? kl : std::max(kl, 0.0);
}

void tile_losses(const HeadInput& input, const ReferenceTable& table, Index row,
                 std::span<const TokenId> targets, const TokenLosses& out, const Kernels& kernel) {
    const auto tokens = static_cast<Index>(targets.size());
    const Linear& head = input.model->head();
    const auto slice = input.model->scratch().floats(tokens * head.widest_block());
    const auto kept = input.model->scratch().floats(tokens * table.kept());
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
            const std::uint32_t* ids = table.ids.data() + (row + t) * table.kept();
            for (; s.next < table.kept() && static_cast<Index>(ids[s.next]) < end; ++s.next)
                kept.floats()[t * table.kept() + s.next] =
                    x[static_cast<Index>(ids[s.next]) - first];
        }
    }
    for (std::size_t t = 0; t < targets.size(); ++t) {
        const LossState& s = states[t];
        const auto at = static_cast<std::size_t>(row) + t;
        const double log_sum = s.sum.log();
        const auto top = static_cast<Index>(table.top[at]);
        out.nll[t] = log_sum - s.target;
        out.reference_nll[t] = table.nll[at];
        out.kl[t] = row_divergence(table, at, kept.floats() + static_cast<Index>(t) * table.kept(),
                                   log_sum);
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

ReferenceTable::ReferenceTable(Index vocabulary, Index likeliest, Index sampled, Index places)
    : vocab_size(vocabulary),
      k(std::min(likeliest, vocabulary)),
      m(std::min(sampled, vocabulary - k)) {
    VQ_ASSERT(k > 0 && m >= 0 && places >= 0);
    const auto rows = static_cast<std::size_t>(places);
    ids.resize(rows * static_cast<std::size_t>(kept()));
    log_p.resize(ids.size());
    weight.resize(ids.size());
    rest.resize(rows);
    top.resize(rows);
    nll.resize(rows);
}

std::int64_t ReferenceTable::bytes() const {
    return static_cast<std::int64_t>(ids.size() *
                                         (sizeof ids[0] + sizeof log_p[0] + sizeof weight[0]) +
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
