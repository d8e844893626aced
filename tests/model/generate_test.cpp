// SPDX-License-Identifier: Apache-2.0
#include "model/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using test::MemorySource;
using test::random_model;
using test::random_tokens;

Vector logits_of(std::initializer_list<float> values) {
    Vector v(static_cast<Index>(values.size()));
    std::copy(values.begin(), values.end(), v.data());
    return v;
}

TEST(Sampler, GreedyTakesTheFirstLargest) {
    EXPECT_EQ(sample_token(logits_of({1, 3, 3, 2}), {}, 0), 1);
}

TEST(Sampler, DrawsFollowTheSoftmax) {
    const Vector logits = logits_of({0, 1, 2});
    const SampleOptions options{.temperature = 0.7, .seed = 5};
    int counts[3] = {};
    constexpr int draws = 20000;
    for (int i = 0; i < draws; ++i)
        ++counts[sample_token(logits, options, static_cast<std::uint64_t>(i))];
    double all = 0;
    for (int i = 0; i < 3; ++i) all += std::exp(i / 0.7);
    for (int i = 0; i < 3; ++i) {
        const double p = std::exp(i / 0.7) / all;
        EXPECT_NEAR(counts[i], p * draws, 5 * std::sqrt(p * (1 - p) * draws));
    }
}

TEST(Sampler, TopKAndTopPLeaveOutTheTail) {
    const Vector logits = logits_of({0, 3, 2.9F, 1, -1});  // softmax .02 .47 .43 .06 .01
    const auto drawn = [&](const SampleOptions& options) {
        std::set<TokenId> seen;
        for (std::uint64_t i = 0; i < 2000; ++i) seen.insert(sample_token(logits, options, i));
        return seen;
    };
    EXPECT_EQ(drawn({.temperature = 1}), (std::set<TokenId>{0, 1, 2, 3, 4}));
    EXPECT_EQ(drawn({.temperature = 1, .top_k = 2}), (std::set<TokenId>{1, 2}));
    EXPECT_EQ(drawn({.temperature = 1, .top_p = 0.92}), (std::set<TokenId>{1, 2, 3}));
    EXPECT_EQ(drawn({.temperature = 1, .top_p = 1e-9}), (std::set<TokenId>{1}));
}

TEST(Sampler, RefusesSettingsOutOfRange) {
    for (const SampleOptions& bad :
         {SampleOptions{.temperature = -1}, SampleOptions{.temperature = NAN},
          SampleOptions{.top_k = -1}, SampleOptions{.top_p = 0}, SampleOptions{.top_p = 1.1}})
        EXPECT_THROW(check_sample_options(bad), Error);
    EXPECT_NO_THROW(check_sample_options({}));
}

// Greedy continuation by running the whole sequence again for every token.
std::vector<TokenId> recompute(const LanguageModel& model, std::vector<TokenId> ids, Index count) {
    std::vector<TokenId> out;
    for (Index i = 0; i < count; ++i) {
        Matrix hidden(static_cast<Index>(ids.size()), model.config().hidden_size);
        model.forward(ids, nullptr, hidden.data());
        out.push_back(sample_token(model.logits(hidden.row(hidden.rows() - 1).data()), {}, 0));
        ids.push_back(out.back());
    }
    return out;
}

TEST(Generate, CachedGreedyTokensEqualFullRecomputation) {
    for (const ModelConfig& config : {test::tiny_llama(), test::tiny_qwen2()}) {
        const MemorySource source = random_model(config, 31);
        const LanguageModel model(source, Precision::fp32, 0, {});
        const auto prompt = random_tokens(140, config.vocab_size, 32);
        GenerateOptions options{.max_new_tokens = 20, .stop_at_eos = false};
        const GenerateResult got = generate_tokens(model, prompt, options, {}, {});
        EXPECT_EQ(got.tokens, recompute(model, prompt, 20));
        EXPECT_EQ(got.stop_reason, "max_new_tokens");
        EXPECT_GT(got.prompt_tokens_per_second(), 0);
        EXPECT_GT(got.decode_tokens_per_second(), 0);
    }
}

TEST(Generate, SameTokensForTheSameSeedAtAnyNumberOfThreads) {
    const MemorySource source = random_model(test::tiny_llama(), 33);
    const LanguageModel model(source, Precision::bf16, 0, {});
    const auto run = [&](std::uint64_t seed, int threads) {
        const test::Threads scope(threads);
        const GenerateOptions options{.max_new_tokens = 12,
                                      .sample = {.temperature = 1.5, .seed = seed},
                                      .stop_at_eos = false};
        return generate_tokens(model, {5, 6, 7}, options, {}, {}).tokens;
    };
    EXPECT_EQ(run(1, 1), run(1, 3));
    EXPECT_NE(run(1, 1), run(2, 1));
}

TEST(Generate, StopsAtTheEndOfSequenceTokenAndAtTheLongestPosition) {
    ModelConfig config = test::tiny_llama();
    config.max_position = 10;
    MemorySource source = random_model(config, 34);
    const LanguageModel model(source, Precision::fp32, 0, {});
    GenerateOptions options{.max_new_tokens = 50, .stop_at_eos = false};
    const GenerateResult all = generate_tokens(model, {1, 2, 3}, options, {}, {});
    EXPECT_EQ(all.tokens.size(), 7U);
    EXPECT_EQ(all.stop_reason, "max_position");

    source.model.eos_ids = {all.tokens[3]};
    const LanguageModel stopping(source, Precision::fp32, 0, {});
    options.stop_at_eos = true;
    const GenerateResult some = generate_tokens(stopping, {1, 2, 3}, options, {}, {});
    EXPECT_EQ(some.stop_reason, "eos");
    ASSERT_LE(some.tokens.size(), 3U);
    EXPECT_TRUE(std::equal(some.tokens.begin(), some.tokens.end(), all.tokens.begin()));
}

TEST(Generate, RefusesEmptyAndOverlongPrompts) {
    const MemorySource source = random_model(test::tiny_llama(), 35);
    const LanguageModel model(source, Precision::fp32, 0, {});
    EXPECT_THROW(generate_tokens(model, {}, {}, {}, {}), Error);
    EXPECT_THROW(generate_tokens(model, std::vector<TokenId>(512, 1), {}, {}, {}), Error);
    EXPECT_THROW(generate_tokens(model, {1}, {.max_new_tokens = 0}, {}, {}), Error);
}

TEST(Generate, CancellingReturnsWhatThereIs) {
    const MemorySource source = random_model(test::tiny_llama(), 36);
    const LanguageModel model(source, Precision::fp32, 0, {});
    int asked = 0;
    Progress progress;
    progress.cancelled = [&] { return ++asked == 3; };
    const GenerateResult got =
        generate_tokens(model, {1, 2}, {.max_new_tokens = 40, .stop_at_eos = false}, {}, progress);
    EXPECT_EQ(got.stop_reason, "cancelled");
    EXPECT_EQ(got.tokens.size(), 3U);
}

TEST(Generate, PiecesMakeUpTheTextAndNeverSplitACharacter) {
    ModelConfig config = test::tiny_qwen2(
        {{"vocab_size", 256}, {"hidden_size", 256}, {"tie_word_embeddings", true}});
    config.layers.clear();
    // A model that always says the byte that comes next in a cycle through multi-byte text.
    const std::string cycle = "a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80";
    MemorySource source = random_model(config, 37);
    source.tensors["model.norm.weight"].setOnes();
    source.model.tie_embeddings = false;
    source.tensors["model.embed_tokens.weight"] = Matrix::Identity(256, 256);
    Matrix head = Matrix::Zero(256, 256);
    const auto byte = [&](std::size_t i) {
        return static_cast<Index>(static_cast<unsigned char>(cycle[i % cycle.size()]));
    };
    for (std::size_t i = 0; i < cycle.size(); ++i) head(byte(i + 1), byte(i)) = 1.0F;
    source.tensors["lm_head.weight"] = head;
    const LanguageModel model(source, Precision::fp32, 0, {});

    std::vector<std::string> pieces;
    const GenerateResult got =
        generate(model, test::ByteTokenizer(), "a", {.max_new_tokens = 10, .stop_at_eos = false},
                 [&](std::string_view piece) { pieces.emplace_back(piece); }, {});
    const std::vector<std::string> want = {"\xC3\xA9", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "a"};
    EXPECT_EQ(pieces, want);
    EXPECT_EQ(got.text, cycle.substr(1) + "a");
    EXPECT_EQ(got.tokens.size(), 10U);
}

TEST(Generate, CompletePrefixLeavesOutUnfinishedCharacters) {
    EXPECT_EQ(complete_prefix(""), 0U);
    EXPECT_EQ(complete_prefix("abc"), 3U);
    EXPECT_EQ(complete_prefix("ab\xC3"), 2U);
    EXPECT_EQ(complete_prefix("ab\xC3\xA9"), 4U);
    EXPECT_EQ(complete_prefix("ab\xE4\xBD"), 2U);
    EXPECT_EQ(complete_prefix("\xF0\x9F\x98"), 0U);
    EXPECT_EQ(complete_prefix("\xF0\x9F\x98\x80"), 4U);
    EXPECT_EQ(complete_prefix("ab\xEF\xBF\xBD"), 2U);
    EXPECT_EQ(complete_prefix("\x80\x80\x80\x80"), 4U);  // stray bytes are not waited for
}

}  // namespace
}  // namespace vq
