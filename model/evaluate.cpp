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

struct Window {
    Index first;  // token
    Index count;
    Index context;  // tokens that are only read; the one after them is the first that counts
    Index loss;     // index of its first loss

    Index losses() const { return count - context; }
};

std::vector<Window> cut_windows(Index tokens, Index ctx, EvalProtocol protocol) {
    const bool halves = protocol == EvalProtocol::llamacpp;
    std::vector<Window> windows;
    Index loss = 0;
    for (Index first = 0; first + (halves ? ctx : 2) <= tokens; first += ctx) {
        const Index count = std::min(ctx, tokens - first);
        windows.push_back({first, count, halves ? ctx / 2 + 1 : 1, loss});
        loss += windows.back().losses();
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
        for (Index i = w.loss; i < w.loss + w.losses(); ++i)
            off += x[static_cast<std::size_t>(i)] - average;
        sum += off * off;
    }
    const auto n = static_cast<double>(windows.size());
    return std::sqrt(sum * n / (n - 1)) / static_cast<double>(x.size());
}

// Of sorted values; linear interpolation between the two nearest ranks.
double quantile(const std::vector<double>& x, double q) {
    const double at = q * static_cast<double>(x.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, x.size() - 1);
    return x[below] + (at - static_cast<double>(below)) * (x[above] - x[below]);
}

// What the losses of all tokens come to beside a reference.
void compare(const std::vector<Window>& windows, const std::vector<double>& reference_nll,
             std::vector<double> kl, const std::vector<Choice>& choices, EvalResult& result) {
    result.reference_perplexity = std::exp(mean(reference_nll));
    result.kld_mean = mean(kl);
    result.kld_stderr = standard_error(kl, result.kld_mean);
    result.kld_stderr_windows = window_error(windows, kl, result.kld_mean);
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

}  // namespace

Index eval_ctx(const EvalOptions& options, const ModelConfig& config) {
    const bool halves = options.protocol == EvalProtocol::llamacpp;
    const Index usual = std::min<Index>(halves ? 512 : 2048, config.max_position);
    const Index ctx = options.ctx == 0 ? usual : options.ctx;
    // Of a shorter window nothing would count.
    const Index least = halves ? 3 : 2;
    if (ctx < least)
        throw Error("a window must have at least " + std::to_string(least) + " tokens",
                    "ctx " + std::to_string(ctx), "use a larger context");
    if (ctx > config.max_position)
        throw Error("the window is longer than the model can take",
                    "ctx " + std::to_string(ctx) + ", at most " +
                        std::to_string(config.max_position),
                    "use a shorter context");
    return ctx;
}

std::vector<TokenId> eval_tokens(const Tokenizer& tokenizer, std::string_view text,
                                 const std::string& where, EvalProtocol protocol) {
    std::vector<TokenId> ids = tokenizer.encode(text, protocol == EvalProtocol::llamacpp);
    if (ids.size() < 2)
        throw Error("the text has fewer than 2 tokens", where, "give a longer text");
    return ids;
}

TokenId begin_token(const Tokenizer& tokenizer) {
    // What stands around a text stands around one without a word too; an end token alone would
    // come after a word.
    const std::vector<TokenId> around = tokenizer.encode("a", true);
    const std::vector<TokenId> plain = tokenizer.encode("a", false);
    const bool first = !around.empty() && !plain.empty() && around.front() != plain.front();
    return first ? around.front() : -1;
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

    const std::vector<Window> windows =
        cut_windows(static_cast<Index>(tokens.size()), result.ctx, options.protocol);
    // One window of llama.cpp's is no sample, and it refuses too.
    if (options.protocol == EvalProtocol::llamacpp && windows.size() < 2)
        throw Error(
            "the text is shorter than two windows",
            std::to_string(tokens.size()) + " tokens, windows of " + std::to_string(result.ctx),
            "give a longer text or a smaller --ctx");
    result.windows = static_cast<Index>(windows.size());
    result.tokens = windows.back().loss + windows.back().losses();
    result.has_reference = reference != nullptr;
    const auto losses = static_cast<std::size_t>(result.tokens);
    std::vector<double> nll(losses);
    std::vector<double> reference_nll(reference != nullptr ? losses : 0);
    std::vector<double> kl(reference != nullptr ? losses : 0);
    std::vector<Choice> choices(reference != nullptr ? losses : 0);

    std::mutex mutex;
    Index done = 0;
    const auto run = [&](Index w) {
        const Window& window = windows[static_cast<std::size_t>(w)];
        {
            const std::lock_guard lock(mutex);
            progress.check();
        }
        const auto text = tokens.subspan(static_cast<std::size_t>(window.first),
                                         static_cast<std::size_t>(window.count));
        std::vector<TokenId> ids(text.begin(), text.end());
        if (options.begin >= 0) ids.front() = options.begin;
        const auto targets = std::span(ids).subspan(static_cast<std::size_t>(window.context));
        const Index skipped = window.context - 1;  // a token is predicted from the one before it
        const auto hidden = model.scratch().floats(window.count * model.config().hidden_size);
        model.forward(ids, nullptr, hidden.floats());
        TokenLosses out{.nll = nll.data() + window.loss};
        if (reference != nullptr) {
            const auto other =
                reference->scratch().floats(window.count * reference->config().hidden_size);
            reference->forward(ids, nullptr, other.floats());
            out.reference_nll = reference_nll.data() + window.loss;
            out.kl = kl.data() + window.loss;
            out.choice = choices.data() + window.loss;
            token_losses(model, hidden.floats() + skipped * model.config().hidden_size, reference,
                         other.floats() + skipped * reference->config().hidden_size, targets, out);
        } else {
            token_losses(model, hidden.floats() + skipped * model.config().hidden_size, nullptr,
                         nullptr, targets, out);
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
    if (reference != nullptr) compare(windows, reference_nll, std::move(kl), choices, result);
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
