// SPDX-License-Identifier: Apache-2.0
#include "model/language_model.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/calibration.h"
#include "model/token_loss.h"
#include "tests/model/reference.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using test::MemorySource;
using test::random_model;
using test::random_tokens;
using test::reference_forward;

Matrix run_logits(const LanguageModel& model, const std::vector<TokenId>& tokens,
                  KvCache* cache = nullptr) {
    const auto count = static_cast<Index>(tokens.size());
    Matrix hidden(count, model.config().hidden_size);
    model.forward(tokens, cache, hidden.data());
    Matrix logits(count, model.config().vocab_size);
    model.head().apply(hidden.data(), count, logits.data(), model.scratch());
    return logits;
}

// Logits are of size 1 to 10 and go through two blocks of fp32 sums of up to 300 terms.
constexpr double fp32_slack = 2e-4;

void expect_reference(const ModelConfig& config, Index tokens) {
    const MemorySource source = random_model(config, 11);
    const auto ids = random_tokens(tokens, config.vocab_size, 5);
    const LanguageModel model(source, Precision::fp32, 0, {});
    const Matrix logits = run_logits(model, ids);
    const MatrixD want = reference_forward(source, ids).logits;
    ASSERT_GT(want.cwiseAbs().maxCoeff(), 1.0);
    EXPECT_LT((logits.cast<double>() - want).cwiseAbs().maxCoeff(), fp32_slack);
}

TEST(LanguageModel, LlamaMatchesTheReferenceAcrossTileBoundaries) {
    for (const Index tokens : {1, 2, 127, 128, 129, 300})
        expect_reference(test::tiny_llama(), tokens);
}

TEST(LanguageModel, Qwen2WithBiasesMatchesTheReference) {
    for (const Index tokens : {1, 17, 140}) expect_reference(test::tiny_qwen2(), tokens);
}

TEST(LanguageModel, OutputBiasAndRopeScalingMatchTheReference) {
    const Json llama3 = {{"rope_type", "llama3"},
                         {"factor", 8},
                         {"low_freq_factor", 1},
                         {"high_freq_factor", 4},
                         {"original_max_position_embeddings", 32}};
    expect_reference(test::tiny_llama({{"attention_bias", true}, {"rope_scaling", llama3}}), 100);
}

TEST(LanguageModel, CachedPiecesEqualOneFullPass) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const MemorySource source = random_model(test::tiny_llama(), 3);
        const auto ids = random_tokens(200, source.model.vocab_size, 6);
        const LanguageModel model(source, precision, 200, {});
        const Matrix whole = run_logits(model, ids);
        KvCache cache(source.model, 200);
        Index at = 0;
        for (const Index piece : {130, 1, 1, 67, 1}) {
            const Matrix part = run_logits(
                model, std::vector<TokenId>(ids.begin() + at, ids.begin() + at + piece), &cache);
            EXPECT_LT((part - whole.middleRows(at, piece)).cwiseAbs().maxCoeff(),
                      precision == Precision::fp32 ? fp32_slack : 0.2)
                << precision_name(precision) << " at " << at;
            at += piece;
        }
        EXPECT_EQ(cache.length(), 200);
    }
}

TEST(LanguageModel, SameBitsAtAnyNumberOfThreads) {
    const MemorySource source = random_model(test::tiny_qwen2(), 4);
    const auto ids = random_tokens(300, source.model.vocab_size, 7);
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        std::vector<Matrix> results;
        for (const int threads : {1, 2, 3}) {
            const test::Threads scope(threads);
            const LanguageModel model(source, precision, 300, {});
            results.push_back(run_logits(model, ids));
        }
        EXPECT_EQ(results[0], results[1]) << precision_name(precision);
        EXPECT_EQ(results[0], results[2]) << precision_name(precision);
    }
}

// bf16 keeps 8 bits: an error of up to 2^-8 an operand, growing over two blocks of random weights.
TEST(LanguageModel, Bf16IsCloseToFp32) {
    const MemorySource source = random_model(test::tiny_llama(), 8);
    const auto ids = random_tokens(150, source.model.vocab_size, 9);
    const LanguageModel exact(source, Precision::fp32, 150, {});
    const LanguageModel fast(source, Precision::bf16, 150, {});
    const Matrix a = run_logits(exact, ids);
    const Matrix b = run_logits(fast, ids);
    EXPECT_LT((a - b).norm(), 0.02 * a.norm());
    if (has_bf16()) {
        EXPECT_NE(a, b);
    }
}

TEST(LanguageModel, LaterTokensDoNotChangeEarlierLogits) {
    const MemorySource source = random_model(test::tiny_llama(), 12);
    auto ids = random_tokens(140, source.model.vocab_size, 13);
    const LanguageModel model(source, Precision::fp32, 0, {});
    const Matrix before = run_logits(model, ids);
    ids.back() = (ids.back() + 1) % static_cast<TokenId>(source.model.vocab_size);
    const Matrix after = run_logits(model, ids);
    EXPECT_EQ(before.topRows(139), after.topRows(139));
    EXPECT_NE(before.row(139), after.row(139));
}

TEST(LanguageModel, RefusesTokensOutOfRangeAndSequencesThatAreTooLong) {
    const MemorySource source = random_model(test::tiny_llama(), 14);
    const LanguageModel model(source, Precision::fp32, 4, {});
    Matrix hidden(8, source.model.hidden_size);
    EXPECT_THROW(model.forward(std::vector<TokenId>{1, 700}, nullptr, hidden.data()), Error);
    EXPECT_THROW(model.forward(std::vector<TokenId>{-1}, nullptr, hidden.data()), Error);
    EXPECT_THROW(model.forward(std::vector<TokenId>{1, 2, 3, 4, 5}, nullptr, hidden.data()), Error);
    KvCache cache(source.model, 2);
    model.forward(std::vector<TokenId>{1, 2}, &cache, hidden.data());
    EXPECT_THROW(model.forward(std::vector<TokenId>{3}, &cache, hidden.data()), Error);
    EXPECT_THROW(LanguageModel(source, Precision::fp32, 513, {}), Error);
}

TEST(LanguageModel, ReportsProgressAndStopsWhenCancelled) {
    const MemorySource source = random_model(test::tiny_llama(), 15);
    Progress progress;
    double last = 0;
    progress.step = [&](double done, double, const std::string&) { last = done; };
    const LanguageModel model(source, Precision::fp32, 4, progress);
    EXPECT_EQ(last, 2);
    progress.cancelled = [] { return true; };
    EXPECT_THROW(LanguageModel(source, Precision::fp32, 4, progress), Cancelled);
}

// Weights so large that sums leave fp32 behind the second block: an error, not a perplexity.
TEST(LanguageModel, NamesTheLayerWhereNumbersOverflow) {
    for (const float size : {1e36F, 1e22F}) {  // infinite, and too large for the next norm
        MemorySource source = random_model(test::tiny_llama(), 17);
        source.tensors["model.layers.1.mlp.down_proj.weight"] *= size;
        const LanguageModel model(source, Precision::fp32, 4, {});
        Matrix hidden(4, source.model.hidden_size);
        try {
            model.forward(std::vector<TokenId>{1, 2, 3, 4}, nullptr, hidden.data());
            FAIL() << "no error";
        } catch (const Error& e) {
            EXPECT_NE(std::string(e.what()).find("layer 1"), std::string::npos) << e.what();
        }
        CalibrationWalk walk(source, {{1, 2, 3, 4}}, {}, {});
        walk.finish(0);
        EXPECT_THROW(walk.finish(1), Error);
    }
}

TEST(LanguageModel, LogitsThatOverflowAreAnError) {
    MemorySource source = random_model(test::tiny_qwen2(), 18);
    source.tensors["lm_head.weight"] *= 1e38F;
    const LanguageModel model(source, Precision::fp32, 4, {});
    Matrix hidden(4, source.model.hidden_size);
    const std::vector<TokenId> ids = {1, 2, 3, 4};
    model.forward(ids, nullptr, hidden.data());
    EXPECT_THROW(static_cast<void>(model.logits(hidden.data())), Error);
    std::vector<double> nll(4);
    EXPECT_THROW(token_losses(model, hidden.data(), nullptr, nullptr, ids, {.nll = nll.data()}),
                 Error);
}

TEST(LanguageModel, NamesTheMissingTensor) {
    MemorySource source = random_model(test::tiny_llama(), 16);
    source.tensors.erase("model.layers.1.mlp.up_proj.weight");
    try {
        const LanguageModel model(source, Precision::fp32, 4, {});
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("model.layers.1.mlp.up_proj.weight"),
                  std::string::npos);
    }
}

}  // namespace
}  // namespace vq
