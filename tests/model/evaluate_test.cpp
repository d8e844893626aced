// SPDX-License-Identifier: Apache-2.0
#include "model/evaluate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "tests/model/reference.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using test::MemorySource;
using test::random_model;
using test::random_tokens;

// What evaluate() should say, from the reference implementation, window by window.
struct Expected {
    std::vector<double> nll;
    std::vector<double> kl;
    std::vector<Index> window_sizes;
    double agree = 0;
    double five = 0;
    double gained = 0;
    double lost = 0;
};

/// The tokens by their logits, the largest first.
std::vector<Index> ranking(const VectorD& logits) {
    std::vector<Index> order(static_cast<std::size_t>(logits.size()));
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return logits[a] > logits[b]; });
    return order;
}

double log_sum(const VectorD& logits) {
    const double top = logits.maxCoeff();
    return top + std::log((logits.array() - top).exp().sum());
}

Expected expected(const MemorySource& source, const MemorySource* reference,
                  const std::vector<TokenId>& tokens, Index ctx) {
    Expected out;
    const auto total = static_cast<Index>(tokens.size());
    for (Index first = 0; first + 2 <= total; first += ctx) {
        const std::vector<TokenId> window(tokens.begin() + first,
                                          tokens.begin() + std::min(first + ctx, total));
        const MatrixD x = test::reference_forward(source, window).logits;
        const MatrixD r =
            reference != nullptr ? test::reference_forward(*reference, window).logits : x;
        out.window_sizes.push_back(static_cast<Index>(window.size()) - 1);
        for (Index t = 0; t + 1 < static_cast<Index>(window.size()); ++t) {
            const VectorD l = x.row(t).transpose();
            const VectorD q = r.row(t).transpose();
            out.nll.push_back(log_sum(l) - l[window[static_cast<std::size_t>(t) + 1]]);
            const VectorD p = (q.array() - log_sum(q)).exp();
            out.kl.push_back(p.dot(q - l) - log_sum(q) + log_sum(l));
            const std::vector<Index> order = ranking(l);
            const Index a = order.front();
            const Index b = ranking(q).front();
            const Index target = window[static_cast<std::size_t>(t) + 1];
            out.agree += a == b ? 1 : 0;
            out.five += std::find(order.begin(), order.begin() + 5, b) != order.begin() + 5 ? 1 : 0;
            out.gained += a == target && b != target ? 1 : 0;
            out.lost += a != target && b == target ? 1 : 0;
        }
    }
    for (double* count : {&out.agree, &out.five, &out.gained, &out.lost})
        *count /= static_cast<double>(out.nll.size());
    return out;
}

double mean(const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum += v;
    return sum / static_cast<double>(x.size());
}

class Evaluate : public testing::Test {
protected:
    MemorySource source = random_model(test::tiny_llama(), 21);
    MemorySource other = random_model(test::tiny_llama(), 22);
    std::vector<TokenId> tokens = random_tokens(500, source.model.vocab_size, 23);
    LanguageModel model{source, Precision::fp32, 0, {}};
    LanguageModel reference{other, Precision::fp32, 0, {}};
};

TEST_F(Evaluate, LossesMatchTheReferenceWithAShorterLastWindow) {
    for (const Index ctx : {2, 140, 499, 512}) {  // 499: one token is left over and not used
        const Expected want = expected(source, nullptr, tokens, ctx);
        const EvalResult got = evaluate(model, nullptr, tokens, {.ctx = ctx}, {});
        EXPECT_EQ(got.tokens, static_cast<Index>(want.nll.size()));
        EXPECT_EQ(got.windows, static_cast<Index>(want.window_sizes.size()));
        EXPECT_NEAR(got.nll_mean, mean(want.nll), 1e-4);
        EXPECT_DOUBLE_EQ(got.perplexity, std::exp(got.nll_mean));
        EXPECT_FALSE(got.has_reference);
    }
}

TEST_F(Evaluate, StandardErrorsAreThoseOfTokensAndOfWindows) {
    const Expected want = expected(source, nullptr, tokens, 100);
    const double m = mean(want.nll);
    double tokens_sum = 0;
    double windows_sum = 0;
    std::size_t at = 0;
    for (const Index size : want.window_sizes) {
        double off = 0;
        for (Index i = 0; i < size; ++i, ++at) {
            tokens_sum += (want.nll[at] - m) * (want.nll[at] - m);
            off += want.nll[at] - m;
        }
        windows_sum += off * off;
    }
    const auto n = static_cast<double>(want.nll.size());
    const EvalResult got = evaluate(model, nullptr, tokens, {.ctx = 100}, {});
    EXPECT_NEAR(got.nll_stderr, std::sqrt(tokens_sum / (n - 1) / n), 1e-4);
    EXPECT_NEAR(got.nll_stderr_windows, std::sqrt(windows_sum * 5 / 4) / n, 1e-4);
    EXPECT_EQ(evaluate(model, nullptr, tokens, {.ctx = 512}, {}).nll_stderr_windows, 0);
}

TEST_F(Evaluate, DivergenceMatchesTheReference) {
    Expected want = expected(source, &other, tokens, 150);
    const EvalResult got = evaluate(model, &reference, tokens, {.ctx = 150}, {});
    ASSERT_TRUE(got.has_reference);
    EXPECT_GT(mean(want.kl), 0.5);
    EXPECT_NEAR(got.kld_mean, mean(want.kl), 1e-4 * mean(want.kl));
    EXPECT_NEAR(got.top1_agreement, want.agree, 1e-9);
    EXPECT_NEAR(got.top5_agreement, want.five, 1e-9);
    EXPECT_GT(want.five, want.agree);
    EXPECT_NEAR(got.flips_gained, want.gained, 1e-9);
    EXPECT_NEAR(got.flips_lost, want.lost, 1e-9);
    EXPECT_GT(want.gained + want.lost, 0);
    std::sort(want.kl.begin(), want.kl.end());
    EXPECT_NEAR(got.kld_median, (want.kl[247] + want.kl[248]) / 2, 1e-3);  // 496 losses
    EXPECT_NEAR(got.kld_p90, (want.kl[445] + want.kl[446]) / 2, 1e-3 + want.kl[446] - want.kl[445]);
    EXPECT_NEAR(got.kld_p99, want.kl[490], 0.1 + want.kl[491] - want.kl[489]);
    EXPECT_NEAR(got.kld_p999, want.kl[494] + 0.505 * (want.kl[495] - want.kl[494]), 1e-3);
    EXPECT_NEAR(got.kld_max, want.kl[495], 1e-3);
    EXPECT_NEAR(got.reference_perplexity, std::exp(mean(expected(other, nullptr, tokens, 150).nll)),
                1e-3 * got.reference_perplexity);
}

TEST_F(Evaluate, WindowsMakeTheErrorOfTheDivergence) {
    const Expected want = expected(source, &other, tokens, 100);
    const double m = mean(want.kl);
    double sum = 0;
    std::size_t at = 0;
    for (const Index size : want.window_sizes) {
        double off = 0;
        for (Index i = 0; i < size; ++i, ++at) off += want.kl[at] - m;
        sum += off * off;
    }
    const EvalResult got = evaluate(model, &reference, tokens, {.ctx = 100}, {});
    EXPECT_NEAR(got.kld_stderr_windows,
                std::sqrt(sum * 5 / 4) / static_cast<double>(want.kl.size()), 1e-4);
}

TEST_F(Evaluate, LlamaCppScoresTheSecondHalvesOfWholeWindows) {
    constexpr Index ctx = 64;
    constexpr TokenId begin = 7;
    double sum = 0;
    Index count = 0;
    for (Index first = 0; first + ctx <= 500; first += ctx) {
        std::vector<TokenId> window(tokens.begin() + first, tokens.begin() + first + ctx);
        window.front() = begin;
        const MatrixD logits = test::reference_forward(source, window).logits;
        for (Index t = ctx / 2; t + 1 < ctx; ++t, ++count) {
            const VectorD l = logits.row(t).transpose();
            sum += log_sum(l) - l[window[static_cast<std::size_t>(t) + 1]];
        }
    }
    const EvalOptions options{.ctx = ctx, .protocol = EvalProtocol::llamacpp, .begin = begin};
    const EvalResult got = evaluate(model, nullptr, tokens, options, {});
    EXPECT_EQ(got.windows, 7);
    EXPECT_EQ(got.tokens, 7 * 31);
    EXPECT_EQ(got.tokens, count);
    EXPECT_NEAR(got.nll_mean, sum / static_cast<double>(count), 1e-4);
    EvalOptions plain = options;
    plain.begin = -1;
    EXPECT_NE(evaluate(model, nullptr, tokens, plain, {}).nll_mean, got.nll_mean);
    EXPECT_EQ(eval_ctx({.protocol = EvalProtocol::llamacpp}, source.model), 512);
    EXPECT_THROW(evaluate(model, nullptr, std::span(tokens).first(100), options, {}), Error);
}

TEST_F(Evaluate, AModelDoesNotDivergeFromItself) {
    const EvalResult got = evaluate(model, &model, tokens, {.ctx = 200}, {});
    EXPECT_EQ(got.kld_mean, 0);
    EXPECT_EQ(got.kld_p99, 0);
    EXPECT_EQ(got.kld_max, 0);
    EXPECT_EQ(got.top1_agreement, 1);
    EXPECT_EQ(got.top5_agreement, 1);
    EXPECT_EQ(got.flips_gained + got.flips_lost, 0);
    EXPECT_DOUBLE_EQ(got.reference_perplexity, got.perplexity);
}

TEST_F(Evaluate, SameBitsAtAnyNumberOfThreads) {
    for (const Index ctx : {60, 300}) {  // more and fewer windows than threads
        std::vector<EvalResult> results;
        for (const int threads : {1, 2, 3}) {
            const test::Threads scope(threads);
            results.push_back(evaluate(model, &reference, tokens, {.ctx = ctx}, {}));
        }
        for (const EvalResult& r : results) {
            EXPECT_EQ(r.nll_mean, results[0].nll_mean);
            EXPECT_EQ(r.kld_mean, results[0].kld_mean);
            EXPECT_EQ(r.kld_p99, results[0].kld_p99);
        }
    }
}

TEST_F(Evaluate, MaxTokensCutsTheText) {
    const EvalResult cut = evaluate(model, nullptr, tokens, {.ctx = 100, .max_tokens = 250}, {});
    const EvalResult same =
        evaluate(model, nullptr, std::span(tokens).first(250), {.ctx = 100}, {});
    EXPECT_EQ(cut.tokens, 99 + 99 + 49);
    EXPECT_EQ(cut.nll_mean, same.nll_mean);
    EXPECT_EQ(evaluate(model, nullptr, tokens, {.ctx = 100, .max_tokens = 9999}, {}).tokens, 495);
}

TEST_F(Evaluate, DefaultWindowIsWhatTheModelCanTake) {
    EXPECT_EQ(eval_ctx({}, source.model), 512);
    ModelConfig longer = source.model;
    longer.max_position = 8192;
    EXPECT_EQ(eval_ctx({}, longer), 2048);
    EXPECT_EQ(eval_ctx({.ctx = 4096}, longer), 4096);
}

TEST_F(Evaluate, RefusesTooLittleTextBadWindowsAndOtherVocabularies) {
    EXPECT_THROW(evaluate(model, nullptr, {}, {}, {}), Error);
    EXPECT_THROW(evaluate(model, nullptr, std::span(tokens).first(1), {}, {}), Error);
    EXPECT_THROW(evaluate(model, nullptr, tokens, {.ctx = 1}, {}), Error);
    EXPECT_THROW(evaluate(model, nullptr, tokens, {.ctx = 513}, {}), Error);
    EXPECT_THROW(
        evaluate(model, &reference, tokens, {.ctx = 2, .protocol = EvalProtocol::llamacpp}, {}),
        Error)
        << "no token would count";
    EXPECT_THROW(evaluate(model, nullptr, tokens, {.max_tokens = 1}, {}), Error);
    EXPECT_THROW(evaluate(model, nullptr, tokens, {.max_tokens = -1}, {}), Error);
    const MemorySource qwen = random_model(test::tiny_qwen2(), 24);
    const LanguageModel small(qwen, Precision::fp32, 0, {});
    EXPECT_THROW(evaluate(model, &small, tokens, {}, {}), Error);
    EXPECT_THROW(evaluate(small, nullptr, tokens, {}, {}), Error);  // ids past its vocabulary
}

TEST_F(Evaluate, EmptyTextIsAnErrorThatNamesIt) {
    const test::ByteTokenizer tokenizer;
    EXPECT_EQ(eval_tokens(tokenizer, "ab", "text.txt").size(), 2U);
    for (const char* text : {"", "a"}) {
        try {
            eval_tokens(tokenizer, text, "text.txt");
            FAIL() << "no error";
        } catch (const Error& e) {
            EXPECT_NE(std::string(e.what()).find("text.txt"), std::string::npos);
        }
    }
}

TEST_F(Evaluate, ReportsProgressAndStopsWhenCancelled) {
    Progress progress;
    double done = 0;
    double total = 0;
    progress.step = [&](double d, double t, const std::string&) {
        EXPECT_GT(d, done);
        done = d;
        total = t;
    };
    evaluate(model, nullptr, tokens, {.ctx = 100}, progress);
    EXPECT_EQ(done, 500);
    EXPECT_EQ(total, 500);
    progress.cancelled = [] { return true; };
    EXPECT_THROW(evaluate(model, nullptr, tokens, {.ctx = 100}, progress), Cancelled);
}

TEST_F(Evaluate, JsonHasTheKeysOfTheContract) {
    const Json plain = to_json(evaluate(model, nullptr, tokens, {.ctx = 100}, {}));
    for (const char* key : {"perplexity", "nll_mean", "nll_stderr", "tokens"})
        EXPECT_TRUE(plain.contains(key)) << key;
    EXPECT_FALSE(plain.contains("kld_mean"));
    const Json full = to_json(evaluate(model, &reference, tokens, {.ctx = 100}, {}));
    for (const char* key : {"kld_mean", "kld_median", "kld_p99", "top1_agreement"})
        EXPECT_TRUE(full.contains(key)) << key;
}

}  // namespace
}  // namespace vq
