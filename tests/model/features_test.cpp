// SPDX-License-Identifier: Apache-2.0
// Everything that a configuration can say of a block, against the reference in double: whole
// sequences, and pieces with a cache that is shorter than the text.
#include <gtest/gtest.h>

#include "model/language_model.h"
#include "tests/model/feature_models.h"
#include "tests/model/reference.h"

namespace vq {
namespace {

// Logits of size 1 to 30 behind two blocks of fp32 sums.
constexpr double slack = 3e-4;

Matrix run_logits(const LanguageModel& model, const std::vector<TokenId>& tokens,
                  KvCache* cache = nullptr) {
    const auto count = static_cast<Index>(tokens.size());
    Matrix hidden(count, model.config().hidden_size);
    model.forward(tokens, cache, hidden.data());
    Matrix logits(count, model.config().vocab_size);
    model.head().apply(hidden.data(), count, logits.data(), model.scratch());
    return logits;
}

double distance(const Matrix& logits, const MatrixD& want) {
    return (logits.cast<double>() - want).cwiseAbs().maxCoeff();
}

class Features : public ::testing::TestWithParam<test::Feature> {};

TEST_P(Features, MatchesTheReference) {
    const test::MemorySource source = test::random_model(test::with_feature(GetParam()), 21);
    const auto ids = test::random_tokens(150, source.model.vocab_size, 22);
    const MatrixD want = test::reference_forward(source, ids).logits;
    const LanguageModel model(source, Precision::fp32, 150, {});
    EXPECT_LT(distance(run_logits(model, ids), want), slack);
    // The feature does something.
    const test::MemorySource plain = test::random_model(test::tiny_llama(), 21);
    EXPECT_GT((test::reference_forward(plain, ids).logits - want).cwiseAbs().maxCoeff(), 0.05);
}

TEST_P(Features, PiecesWithACacheEqualOnePass) {
    const test::MemorySource source = test::random_model(test::with_feature(GetParam()), 23);
    const auto ids = test::random_tokens(120, source.model.vocab_size, 24);
    const LanguageModel model(source, Precision::fp32, 120, {});
    const Matrix whole = run_logits(model, ids);
    for (const std::vector<Index>& pieces :
         {std::vector<Index>{50, 1, 1, 5, 40, 1, 22}, std::vector<Index>{1, 1, 3, 100, 1, 14}}) {
        KvCache cache(source.model, 120);
        Index at = 0;
        for (const Index piece : pieces) {
            const std::vector<TokenId> part(ids.begin() + at, ids.begin() + at + piece);
            const Matrix logits = run_logits(model, part, &cache);
            EXPECT_LT((logits - whole.middleRows(at, piece)).cwiseAbs().maxCoeff(), 1e-4)
                << "at " << at;
            at += piece;
        }
    }
}

TEST_P(Features, SameBitsAtAnyNumberOfThreads) {
    const test::MemorySource source = test::random_model(test::with_feature(GetParam()), 25);
    const auto ids = test::random_tokens(140, source.model.vocab_size, 26);
    std::vector<Matrix> results;
    for (const int threads : {1, 3}) {
        const test::Threads scope(threads);
        const LanguageModel model(source, Precision::fp32, 140, {});
        results.push_back(run_logits(model, ids));
    }
    EXPECT_EQ(results[0], results[1]);
}

INSTANTIATE_TEST_SUITE_P(All, Features, ::testing::ValuesIn(test::all_features()),
                         test::feature_name);

TEST(WindowCache, KeepsNoMoreThanTheWindow) {
    // A ring of 8 rows serves a text of 400 tokens, written token by token.
    ModelConfig config = test::tiny_llama();
    for (LayerConfig& layer : config.layers) layer.attention.window = 8;
    const test::MemorySource source = test::random_model(config, 27);
    const auto ids = test::random_tokens(400, config.vocab_size, 28);
    const LanguageModel model(source, Precision::fp32, 400, {});
    const Matrix whole = run_logits(model, ids);
    KvCache cache(config, 400);
    double worst = 0;
    for (Index t = 0; t < 400; ++t) {
        const TokenId id = ids[static_cast<std::size_t>(t)];
        const Matrix logits = run_logits(model, {id}, &cache);
        worst = std::max(worst, static_cast<double>((logits - whole.row(t)).cwiseAbs().maxCoeff()));
    }
    EXPECT_LT(worst, 1e-4);
}

}  // namespace
}  // namespace vq
