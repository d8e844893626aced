// SPDX-License-Identifier: Apache-2.0
#include "model/reference_table.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/evaluate.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using test::MemorySource;

/// The same model with every weight a little off, as after compression.
MemorySource changed(MemorySource source, double share) {
    std::uint64_t seed = 90;
    for (auto& [name, tensor] : source.tensors) {
        const double size = tensor.norm() / std::sqrt(static_cast<double>(tensor.size()));
        tensor += test::random_matrix(tensor.rows(), tensor.cols(), share * size, ++seed);
    }
    return source;
}

class KeptReference : public testing::Test {
protected:
    MemorySource source = test::random_model(test::tiny_llama(), 31);
    MemorySource other = changed(source, 0.02);
    LanguageModel reference{source, Precision::fp32, 0, {}};
    LanguageModel model{other, Precision::fp32, 0, {}};
    EvalText text = eval_text(test::random_tokens(700, source.model.vocab_size, 32), {.ctx = 150},
                              source.model);
    EvalResult whole = evaluate(model, {.model = &reference}, text, {});

    EvalResult with_table(Index k, Index m = 0) const {
        const ReferenceTable table = reference_table(reference, text, k, m, {});
        return evaluate(model, {.table = &table}, text, {});
    }
};

TEST_F(KeptReference, StatesGiveTheResultsOfTheRunningModel) {
    const Matrix states = keep_states(reference, text, {});
    reference.drop_layers();
    const EvalResult kept = evaluate(model, {.model = &reference, .states = &states}, text, {});
    EXPECT_EQ(kept.kld_mean, whole.kld_mean);
    EXPECT_EQ(kept.kld_p99, whole.kld_p99);
    EXPECT_EQ(kept.kld_stderr_windows, whole.kld_stderr_windows);
    EXPECT_EQ(kept.reference_perplexity, whole.reference_perplexity);
    EXPECT_EQ(kept.top5_agreement, whole.top5_agreement);
    EXPECT_EQ(kept.flips_lost, whole.flips_lost);
}

TEST_F(KeptReference, TableOfAllTokensIsTheWholeDivergence) {
    const EvalResult all = with_table(source.model.vocab_size);
    ASSERT_GT(whole.kld_mean, 0.01);
    EXPECT_NEAR(all.kld_mean, whole.kld_mean, 1e-5 * whole.kld_mean);
    EXPECT_NEAR(all.kld_max, whole.kld_max, 1e-4 * whole.kld_max);
    EXPECT_NEAR(all.reference_perplexity, whole.reference_perplexity, 1e-9);
    EXPECT_EQ(all.nll_mean, whole.nll_mean);
    EXPECT_EQ(all.top1_agreement, whole.top1_agreement);
    EXPECT_EQ(all.top5_agreement, whole.top5_agreement);
    EXPECT_EQ(all.flips_gained, whole.flips_gained);
    EXPECT_EQ(all.flips_lost, whole.flips_lost);
    EXPECT_EQ(with_table(5000).kld_mean, all.kld_mean);
}

TEST_F(KeptReference, FewerTokensGiveLessDivergenceAndNeverMore) {
    double last = 0;
    for (const Index k : {1, 8, 64, 350}) {
        const EvalResult got = with_table(k);
        EXPECT_GT(got.kld_mean, last) << k;
        EXPECT_LT(got.kld_mean, whole.kld_mean) << k;
        EXPECT_EQ(got.top1_agreement, whole.top1_agreement);
        last = got.kld_mean;
    }
    EXPECT_GT(last, 0.97 * whole.kld_mean);
}

TEST_F(KeptReference, ASampleMakesGoodForTheOthers) {
    const double missing = whole.kld_mean - with_table(1).kld_mean;
    ASSERT_GT(missing, 0.05 * whole.kld_mean);
    for (const Index m : {8, 64, 300}) {
        const double left = whole.kld_mean - with_table(1, m).kld_mean;
        EXPECT_LT(std::abs(left), 0.05 * missing) << m;
    }
    EXPECT_NEAR(with_table(1, 5000).kld_mean, whole.kld_mean, 1e-5);
}

TEST_F(KeptReference, RowsAreSortedAndAddUpToOne) {
    const ReferenceTable table = reference_table(reference, text, 16, 8, {});
    ASSERT_EQ(table.places(), text.losses());
    EXPECT_EQ(table.bytes(), table.places() * (24 * 12 + 16));
    double sampled = 0;
    double rest = 0;
    for (std::size_t row = 0; row < table.nll.size(); ++row) {
        double sum = static_cast<double>(table.rest[row]);
        float largest = -1e9F;
        float least = 0;
        float largest_sampled = -1e9F;
        std::uint32_t top = 0;
        Index likeliest = 0;
        for (std::size_t j = 24 * row; j < 24 * (row + 1); ++j) {
            if (j > 24 * row) {
                EXPECT_GT(table.ids[j], table.ids[j - 1]);
            }
            const float log_p = table.log_p[j];
            if (table.weight[j] > 0) {
                EXPECT_GE(table.weight[j], 0.999F * std::exp(log_p));
                sampled += static_cast<double>(table.weight[j]);
                largest_sampled = std::max(largest_sampled, log_p);
                continue;
            }
            ++likeliest;
            sum += std::exp(static_cast<double>(log_p));
            least = std::min(least, log_p);
            if (log_p <= largest) continue;
            largest = log_p;
            top = table.ids[j];
        }
        EXPECT_EQ(likeliest, 16);
        EXPECT_LE(largest_sampled, least);
        EXPECT_NEAR(sum, 1, 1e-5);
        EXPECT_EQ(table.top[row], top);
        rest += static_cast<double>(table.rest[row]);
    }
    EXPECT_NEAR(sampled, rest, 0.1 * rest);  // without bias
}

TEST_F(KeptReference, AModelDoesNotDivergeFromItsOwnTable) {
    const ReferenceTable table = reference_table(model, text, 32, 8, {});
    const EvalResult same = evaluate(model, {.table = &table}, text, {});
    EXPECT_NEAR(same.kld_mean, 0, 1e-6);
    EXPECT_EQ(same.top1_agreement, 1);
    EXPECT_EQ(same.flips_gained + same.flips_lost, 0);
}

TEST_F(KeptReference, TableIsTheSameAtAnyNumberOfThreads) {
    std::vector<ReferenceTable> tables;
    for (const int threads : {1, 3}) {
        const test::Threads scope(threads);
        tables.push_back(reference_table(reference, text, 16, 8, {}));
    }
    EXPECT_EQ(tables[0].ids, tables[1].ids);
    EXPECT_EQ(tables[0].log_p, tables[1].log_p);
    EXPECT_EQ(tables[0].rest, tables[1].rest);
    EXPECT_EQ(tables[0].nll, tables[1].nll);
}

TEST_F(KeptReference, ATableOfAnotherVocabularyIsRefused) {
    const MemorySource qwen = test::random_model(test::tiny_qwen2(), 33);
    const LanguageModel small(qwen, Precision::fp32, 0, {});
    const EvalText words = eval_text(test::random_tokens(200, 97, 34), {.ctx = 100}, qwen.model);
    const ReferenceTable table = reference_table(reference, words, 16, 8, {});
    EXPECT_THROW(evaluate(small, {.table = &table}, words, {}), Error);
}

}  // namespace
}  // namespace vq
