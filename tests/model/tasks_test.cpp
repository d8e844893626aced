// SPDX-License-Identifier: Apache-2.0
#include "model/tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tests/model/reference.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

using testing::HasSubstr;

std::string message(const std::string& text) {
    try {
        parse_tasks(text, "a.jsonl");
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Tasks, LinesAreQuestions) {
    const auto questions = parse_tasks(
        "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n\n"
        "{\"prompt\": \"q\", \"choices\": [\"c\", \"d\", \"e\"], \"answer\": 0, \"delimiter\": "
        "\"\"}",
        "a.jsonl");
    ASSERT_EQ(questions.size(), 2U);
    EXPECT_EQ(questions[0].answer, 1);
    EXPECT_EQ(questions[0].delimiter, " ");
    EXPECT_EQ(questions[1].choices[2], "e");
    EXPECT_EQ(questions[1].delimiter, "");
}

TEST(Tasks, FaultsNameTheirLine) {
    const std::string good = "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n";
    EXPECT_THAT(message(""), HasSubstr("no questions"));
    for (const char* bad : {"{", "[]", "{\"prompt\": \"p\", \"choices\": [\"a\"], \"answer\": 0}",
                            "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 2}",
                            "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"]}",
                            "{\"prompt\": \"p\", \"choices\": [\"a\", \"\"], \"answer\": 0}",
                            "{\"prompt\": 3, \"choices\": [\"a\", \"b\"], \"answer\": 0}",
                            "{\"text\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 0}"})
        EXPECT_THAT(message(good + bad), HasSubstr("a.jsonl: line 2")) << bad;
}

TEST(Tasks, SpacesAtTheEndOfAPromptBelongToTheChoice) {
    const test::ByteTokenizer tokenizer;
    const TaskBatch batch = encode_tasks({{"ab  ", {"x", "\xC3\xA9y"}, 0, ""}}, tokenizer, 7, 100);
    ASSERT_EQ(batch.sequences.size(), 2U);
    EXPECT_EQ(batch.sequences[0].ids, (std::vector<TokenId>{7, 'a', 'b', ' ', ' ', 'x'}));
    EXPECT_EQ(batch.sequences[0].context, 3);
    EXPECT_EQ(batch.sequences[1].characters, 2);  // of two and one bytes
    EXPECT_EQ(batch.longest, 7);
    EXPECT_EQ(batch.shortened, 0);
    const TaskBatch line = encode_tasks({{"a:\n", {"x", "y"}, 0, ""}}, tokenizer, -1, 100);
    EXPECT_EQ(line.sequences[0].context, 2);  // white space of any kind
}

TEST(Tasks, LongPromptsLoseTheirBeginning) {
    const test::ByteTokenizer tokenizer;
    const TaskBatch batch = encode_tasks({{"abcdef", {"x", "yz"}, 0, " "}}, tokenizer, -1, 4);
    // The model reads four tokens and predicts the one after each.
    EXPECT_EQ(batch.sequences[0].ids, (std::vector<TokenId>{'d', 'e', 'f', ' ', 'x'}));
    EXPECT_EQ(batch.sequences[0].context, 3);
    EXPECT_EQ(batch.sequences[1].ids, (std::vector<TokenId>{'e', 'f', ' ', 'y', 'z'}));
    EXPECT_EQ(batch.sequences[1].context, 2);
    EXPECT_EQ(batch.shortened, 2);
    EXPECT_THROW(encode_tasks({{"a", {"x", "vwxyz"}, 0, " "}}, tokenizer, -1, 4), Error);
    EXPECT_THROW(encode_tasks({{"", {"x", "y"}, 0, ""}}, tokenizer, -1, 4), Error);
}

TEST(Tasks, ChoicesAreWhatTheReferenceFindsLikeliest) {
    const test::MemorySource source = test::random_model(test::tiny_llama(), 51);
    const LanguageModel model(source, Precision::fp32, 0, {});
    const test::ByteTokenizer tokenizer;
    std::vector<TaskQuestion> questions;
    for (std::uint64_t q = 0; q < 12; ++q) {
        TaskQuestion question;
        for (std::uint64_t c = 0; c < 8; ++c)
            question.prompt += static_cast<char>('a' + random_bits(q, c) % 26);
        for (std::uint64_t i = 0; i < 4; ++i) {
            std::string choice;
            for (std::uint64_t c = 0; c <= i; ++c)
                choice += static_cast<char>('a' + random_bits(100 * q + i, c) % 26);
            question.choices.push_back(choice);
        }
        question.answer = static_cast<Index>(q % 4);
        questions.push_back(question);
    }
    const TaskBatch batch = encode_tasks(questions, tokenizer, -1, 512);
    const TaskResult got = run_tasks(model, batch, {});
    double right = 0;
    double right_norm = 0;
    std::size_t at = 0;
    for (const TaskQuestion& question : questions) {
        Index best = 0;
        Index best_norm = 0;
        std::vector<double> sums;
        for (Index i = 0; i < static_cast<Index>(question.choices.size()); ++i) {
            const TaskSequence& s = batch.sequences[at];
            const MatrixD logits = test::reference_forward(source, s.ids).logits;
            double sum = 0;
            for (Index t = s.context; t < static_cast<Index>(s.ids.size()); ++t) {
                const VectorD l = logits.row(t - 1).transpose();
                const double top = l.maxCoeff();
                sum += l[s.ids[static_cast<std::size_t>(t)]] - top -
                       std::log((l.array() - top).exp().sum());
            }
            EXPECT_NEAR(got.log_likelihoods[at++], sum, 1e-3);
            sums.push_back(sum);
            const auto norm = [&](Index j) {
                return sums[static_cast<std::size_t>(j)] /
                       static_cast<double>(question.choices[static_cast<std::size_t>(j)].size());
            };
            if (sum > sums[static_cast<std::size_t>(best)]) best = i;
            if (norm(i) > norm(best_norm)) best_norm = i;
        }
        right += best == question.answer ? 1 : 0;
        right_norm += best_norm == question.answer ? 1 : 0;
    }
    EXPECT_EQ(got.questions, 12);
    EXPECT_NEAR(got.accuracy, right / 12, 1e-12);
    EXPECT_NEAR(got.accuracy_norm, right_norm / 12, 1e-12);
    EXPECT_NEAR(got.accuracy_stderr, std::sqrt(got.accuracy * (1 - got.accuracy) / 11), 1e-12);
}

}  // namespace
}  // namespace vq
