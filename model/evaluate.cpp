// SPDX-License-Identifier: Apache-2.0
#include "model/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <string>

#include "base/error.h"
#include "model/token_loss.h"
#include "model/work_split.h"

namespace vq {

namespace {

constexpr Index default_ctx = 2048;

struct Window {
    Index first;  // token
    Index count;
    Index loss;  // index of its first loss
};

std::vector<Window> cut_windows(Index tokens, Index ctx) {
    std::vector<Window> windows;
    Index loss = 0;
    for (Index first = 0; first + 2 <= tokens; first += ctx) {
        const Index count = std::min(ctx, tokens - first);
        windows.push_back({first, count, loss});
        loss += count - 1;
    }
    return windows;
}

double mean(const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum += v;
    return sum / static_cast<double>(x.size());
}

double standard_error(const std::vector<double>& x, double average) {
    if (x.size() < 2) return 0;
    double sum = 0;
    for (const double v : x) sum += (v - average) * (v - average);
    const auto n = static_cast<double>(x.size());
    return std::sqrt(sum / (n - 1) / n);
}

// Standard error of a ratio mean whose independent units are the windows.
double window_error(const std::vector<Window>& windows, const std::vector<double>& x,
                    double average) {
    if (windows.size() < 2) return 0;
    double sum = 0;
    for (const Window& w : windows) {
        double off = 0;
        for (Index i = w.loss; i < w.loss + w.count - 1; ++i)
            off += x[static_cast<std::size_t>(i)] - average;
        sum += off * off;
    }
    const auto n = static_cast<double>(windows.size());
    return std::sqrt(sum * n / (n - 1)) / static_cast<double>(x.size());
}

// Linear interpolation between the two nearest ranks.
double quantile(std::vector<double> x, double q) {
    std::sort(x.begin(), x.end());
    const double at = q * static_cast<double>(x.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, x.size() - 1);
    return x[below] + (at - static_cast<double>(below)) * (x[above] - x[below]);
}

}  // namespace

Index eval_ctx(const EvalOptions& options, const ModelConfig& config) {
    if (options.ctx == 0) return std::min(default_ctx, config.max_position);
    if (options.ctx < 2)
        throw Error("a window must have at least 2 tokens", "ctx " + std::to_string(options.ctx),
                    "use a larger context");
    if (options.ctx > config.max_position)
        throw Error("the window is longer than the model can take",
                    "ctx " + std::to_string(options.ctx) + ", at most " +
                        std::to_string(config.max_position),
                    "use a shorter context");
    return options.ctx;
}

std::vector<TokenId> eval_tokens(const Tokenizer& tokenizer, std::string_view text,
                                 const std::string& where) {
    std::vector<TokenId> ids = tokenizer.encode(text, false);
    if (ids.size() < 2)
        throw Error("the text has fewer than 2 tokens", where, "give a longer text");
    return ids;
}

EvalResult evaluate(const LanguageModel& model, const LanguageModel* reference,
                    std::span<const TokenId> tokens, const EvalOptions& options,
                    const Progress& progress) {
    const auto started = std::chrono::steady_clock::now();
    EvalResult result;
    result.ctx = eval_ctx(options, model.config());
    if (options.max_tokens < 0)
        throw Error("the number of tokens is negative", std::to_string(options.max_tokens),
                    "use 0 for all");
    if (reference != nullptr && reference->config().vocab_size != model.config().vocab_size)
        throw Error("the reference has another vocabulary",
                    std::to_string(reference->config().vocab_size) + " tokens, the model has " +
                        std::to_string(model.config().vocab_size),
                    "compare models of one family");
    if (options.max_tokens > 0 && options.max_tokens < static_cast<Index>(tokens.size()))
        tokens = tokens.first(static_cast<std::size_t>(options.max_tokens));
    if (tokens.size() < 2)
        throw Error("fewer than 2 tokens to evaluate", std::to_string(tokens.size()),
                    "give a longer text");
    check_tokens(tokens, model.config().vocab_size);

    const std::vector<Window> windows = cut_windows(static_cast<Index>(tokens.size()), result.ctx);
    result.windows = static_cast<Index>(windows.size());
    result.tokens = windows.back().loss + windows.back().count - 1;
    result.has_reference = reference != nullptr;
    const auto losses = static_cast<std::size_t>(result.tokens);
    std::vector<double> nll(losses);
    std::vector<double> reference_nll(reference != nullptr ? losses : 0);
    std::vector<double> kl(reference != nullptr ? losses : 0);
    std::vector<std::uint8_t> agree(reference != nullptr ? losses : 0);

    std::mutex mutex;
    Index done = 0;
    const auto run = [&](Index w) {
        const Window& window = windows[static_cast<std::size_t>(w)];
        {
            const std::lock_guard lock(mutex);
            progress.check();
        }
        const auto ids = tokens.subspan(static_cast<std::size_t>(window.first),
                                        static_cast<std::size_t>(window.count));
        const auto hidden = model.scratch().floats(window.count * model.config().hidden_size);
        model.forward(ids, nullptr, hidden.floats());
        TokenLosses out{.nll = nll.data() + window.loss};
        if (reference != nullptr) {
            const auto other =
                reference->scratch().floats(window.count * reference->config().hidden_size);
            reference->forward(ids, nullptr, other.floats());
            out.reference_nll = reference_nll.data() + window.loss;
            out.kl = kl.data() + window.loss;
            out.agree = agree.data() + window.loss;
            token_losses(model, hidden.floats(), reference, other.floats(), ids.subspan(1), out);
        } else {
            token_losses(model, hidden.floats(), nullptr, nullptr, ids.subspan(1), out);
        }
        const std::lock_guard lock(mutex);
        done += window.count;
        progress.report(static_cast<double>(done), static_cast<double>(tokens.size()),
                        "evaluating");
    };
    parallel_for_outer(result.windows, run);

    result.nll_mean = mean(nll);
    result.nll_stderr = standard_error(nll, result.nll_mean);
    result.nll_stderr_windows = window_error(windows, nll, result.nll_mean);
    result.perplexity = std::exp(result.nll_mean);
    if (reference != nullptr) {
        result.reference_perplexity = std::exp(mean(reference_nll));
        result.kld_mean = mean(kl);
        result.kld_stderr = standard_error(kl, result.kld_mean);
        result.kld_median = quantile(kl, 0.5);
        result.kld_p99 = quantile(kl, 0.99);
        Index same = 0;
        for (const std::uint8_t a : agree) same += a;
        result.top1_agreement = static_cast<double>(same) / static_cast<double>(result.tokens);
    }
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    result.tokens_per_second = static_cast<double>(tokens.size()) / result.seconds;
    return result;
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
        json["kld_median"] = result.kld_median;
        json["kld_p99"] = result.kld_p99;
        json["top1_agreement"] = result.top1_agreement;
    }
    return json;
}

}  // namespace vq
