// SPDX-License-Identifier: Apache-2.0
#include "model/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/ops/work_split.h"
#include "model/token_loss.h"

namespace vq {

namespace {

// What the losses of all tokens come to beside a reference.
void compare(std::span<const double> reference_nll, std::vector<double> kl,
             const std::vector<Choice>& choices, EvalResult& result) {
    result.reference_perplexity = std::exp(mean(reference_nll));
    result.kld_mean = mean(kl);
    result.kld_stderr = standard_error(kl, result.kld_mean);
    result.kld_stderr_windows = window_mean(result.by_window, &WindowSums::kl).error;
    std::sort(kl.begin(), kl.end());
    result.kld_median = quantile(kl, 0.5);
    result.kld_p90 = quantile(kl, 0.9);
    result.kld_p99 = quantile(kl, 0.99);
    result.kld_p999 = quantile(kl, 0.999);
    result.kld_max = kl.back();
    const auto share = [&](auto&& holds) {
        return static_cast<double>(std::count_if(choices.begin(), choices.end(), holds)) /
               static_cast<double>(choices.size());
    };
    result.top1_agreement = share([](const Choice& c) { return c.same_top; });
    result.top5_agreement = share([](const Choice& c) { return c.top_in_five; });
    result.flips_gained = share([](const Choice& c) { return c.right && !c.reference_right; });
    result.flips_lost = share([](const Choice& c) { return !c.right && c.reference_right; });
}

std::vector<WindowSums> sums_by_window(const EvalText& text, const std::vector<double>& nll,
                                       const std::vector<double>& kl) {
    std::vector<WindowSums> sums;
    for (const EvalWindow& w : text.windows) {
        WindowSums of{.losses = w.losses()};
        for (Index i = w.loss; i < w.loss + w.losses(); ++i) {
            of.nll += nll[static_cast<std::size_t>(i)];
            if (!kl.empty()) of.kl += kl[static_cast<std::size_t>(i)];
        }
        sums.push_back(of);
    }
    return sums;
}

// Runs the model over every window and gives it to visit(window, hidden, targets), of which hidden
// and targets begin where tokens count. Windows are visited by several threads.
template <class Visit>
void run_windows(const LanguageModel& model, const EvalText& text, const Progress& progress,
                 Visit&& visit) {
    std::mutex mutex;
    Index done = 0;
    const Index width = model.config().hidden_size;
    parallel_for_outer(static_cast<Index>(text.windows.size()), [&](Index w) {
        const EvalWindow& window = text.windows[static_cast<std::size_t>(w)];
        {
            const std::lock_guard lock(mutex);
            progress.check();
        }
        const std::vector<TokenId> ids = text.ids(window);
        const auto hidden = model.scratch().floats(window.count * width);
        model.forward(ids, nullptr, hidden.floats());
        // A token is predicted from the one before it.
        visit(window, ids, hidden.floats() + (window.context - 1) * width,
              std::span(ids).subspan(static_cast<std::size_t>(window.context)));
        const std::lock_guard lock(mutex);
        done += window.count;
        progress.report(static_cast<double>(done), static_cast<double>(text.tokens.size()),
                        "evaluating");
    });
}

/// What there is to say without a reference.
EvalResult summary(const EvalText& text, const std::vector<double>& nll,
                   const std::vector<double>& kl) {
    EvalResult result;
    result.ctx = text.ctx;
    result.windows = static_cast<Index>(text.windows.size());
    result.tokens = text.losses();
    result.by_window = sums_by_window(text, nll, kl);
    result.nll_mean = mean(nll);
    result.nll_stderr = standard_error(nll, result.nll_mean);
    result.nll_stderr_windows = window_mean(result.by_window, &WindowSums::nll).error;
    result.perplexity = std::exp(result.nll_mean);
    return result;
}

void take_time(EvalResult& result, const EvalText& text,
               std::chrono::steady_clock::time_point started) {
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    result.tokens_per_second = static_cast<double>(text.tokens.size()) / result.seconds;
}

void check_reference(const LanguageModel& model, const EvalReference& reference,
                     const EvalText& text) {
    const Index own = model.config().vocab_size;
    const Index other = reference.model != nullptr   ? reference.model->config().vocab_size
                        : reference.table != nullptr ? reference.table->vocab_size
                                                     : own;
    if (other != own)
        throw Error("the reference has another vocabulary",
                    std::to_string(other) + " tokens, the model has " + std::to_string(own),
                    "compare models of one family");
    if (reference.states != nullptr) VQ_ASSERT(reference.states->rows() == text.losses());
    if (reference.table != nullptr) VQ_ASSERT(reference.table->places() == text.losses());
}

}  // namespace

EvalResult evaluate(const LanguageModel& model, const EvalReference& reference,
                    const EvalText& text, const Progress& progress) {
    const auto started = std::chrono::steady_clock::now();
    check_reference(model, reference, text);
    check_tokens(text.tokens, model.config().vocab_size);
    const auto losses = static_cast<std::size_t>(text.losses());
    const std::size_t compared = reference.is_given() ? losses : 0;
    std::vector<double> nll(losses);
    std::vector<double> reference_nll(compared);
    std::vector<double> kl(compared);
    std::vector<Choice> choices(compared);

    run_windows(model, text, progress,
                [&](const EvalWindow& window, std::span<const TokenId> ids, const float* hidden,
                    std::span<const TokenId> targets) {
                    TokenLosses out{.nll = nll.data() + window.loss};
                    if (!reference.is_given()) {
                        token_losses(model, hidden, nullptr, nullptr, targets, out);
                        return;
                    }
                    out.reference_nll = reference_nll.data() + window.loss;
                    out.kl = kl.data() + window.loss;
                    out.choice = choices.data() + window.loss;
                    if (reference.table != nullptr) {
                        token_losses(model, hidden, *reference.table, window.loss, targets, out);
                        return;
                    }
                    const LanguageModel& other = *reference.model;
                    const Index width = other.config().hidden_size;
                    if (reference.states != nullptr) {
                        token_losses(model, hidden, &other,
                                     reference.states->data() + window.loss * width, targets, out);
                        return;
                    }
                    const auto states = other.scratch().floats(window.count * width);
                    other.forward(ids, nullptr, states.floats());
                    token_losses(model, hidden, &other,
                                 states.floats() + (window.context - 1) * width, targets, out);
                });

    EvalResult result = summary(text, nll, kl);
    result.has_reference = reference.is_given();
    if (result.has_reference) compare(reference_nll, std::move(kl), choices, result);
    take_time(result, text, started);
    return result;
}

EvalResult evaluate(const LanguageModel& model, const LanguageModel* reference,
                    std::span<const TokenId> tokens, const EvalOptions& options,
                    const Progress& progress) {
    return evaluate(model, {.model = reference}, eval_text(tokens, options, model.config()),
                    progress);
}

Matrix keep_states(const LanguageModel& model, const EvalText& text, const Progress& progress) {
    check_tokens(text.tokens, model.config().vocab_size);
    const Index width = model.config().hidden_size;
    Matrix states(text.losses(), width);
    run_windows(model, text, progress,
                [&](const EvalWindow& window, std::span<const TokenId> /*ids*/, const float* hidden,
                    std::span<const TokenId> targets) {
                    std::copy_n(hidden, static_cast<Index>(targets.size()) * width,
                                states.data() + window.loss * width);
                });
    return states;
}

ReferenceTable reference_table(const LanguageModel& model, const EvalText& text, Index k, Index m,
                               const Progress& progress, EvalResult* result) {
    const auto started = std::chrono::steady_clock::now();
    check_tokens(text.tokens, model.config().vocab_size);
    ReferenceTable table(model.config().vocab_size, k, m, text.losses());
    run_windows(model, text, progress,
                [&](const EvalWindow& window, std::span<const TokenId> /*ids*/, const float* hidden,
                    std::span<const TokenId> targets) {
                    likeliest_tokens(model, hidden, targets, window.loss, table);
                });
    if (result != nullptr) {
        *result = summary(text, table.nll, {});
        take_time(*result, text, started);
    }
    return table;
}

Json to_json(const EvalResult& result) {
    Json json = {{"perplexity", result.perplexity},
                 {"nll_mean", result.nll_mean},
                 {"nll_stderr", result.nll_stderr},
                 {"nll_stderr_windows", result.nll_stderr_windows},
                 {"tokens", result.tokens},
                 {"windows", result.windows},
                 {"ctx", result.ctx},
                 {"seconds", result.seconds},
                 {"tokens_per_second", result.tokens_per_second}};
    if (result.has_reference) {
        json["reference_perplexity"] = result.reference_perplexity;
        json["kld_mean"] = result.kld_mean;
        json["kld_stderr"] = result.kld_stderr;
        json["kld_stderr_windows"] = result.kld_stderr_windows;
        json["kld_median"] = result.kld_median;
        json["kld_p90"] = result.kld_p90;
        json["kld_p99"] = result.kld_p99;
        json["kld_p999"] = result.kld_p999;
        json["kld_max"] = result.kld_max;
        json["top1_agreement"] = result.top1_agreement;
        json["top5_agreement"] = result.top5_agreement;
        json["flips_gained"] = result.flips_gained;
        json["flips_lost"] = result.flips_lost;
    }
    return json;
}

}  // namespace vq
