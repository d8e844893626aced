// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace vq {
namespace {

using testing::ElementsAre;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
    std::vector<std::string> out;
    std::size_t covered = 0;
    for (const Span& span : Regex(pattern, "test").split(text)) {
        EXPECT_EQ(span.begin, covered) << "spans cover the text";
        EXPECT_LT(span.begin, span.end);
        covered = span.end;
        if (span.match) out.push_back(text.substr(span.begin, span.end - span.begin));
    }
    EXPECT_EQ(covered, text.size());
    return out;
}

TEST(TokenizerRegex, KnowsLettersThatPcre2DoesNot) {
    const std::string newer = "\U00031350";  // CJK extension H
    EXPECT_THAT(matches(R"(\p{L}+)", "a" + newer + "b-"), ElementsAre("a" + newer + "b"));
    EXPECT_THAT(matches(R"([^\s\p{L}]+)", "-" + newer + "-"), ElementsAre("-", "-"));
    EXPECT_THAT(matches(R"(\P{L}+)", "-" + newer), ElementsAre("-"));
    EXPECT_THAT(matches(R"(\p{^L}+)", "-" + newer), ElementsAre("-"));
}

TEST(TokenizerRegex, TakesWhiteSpaceAsUnicodeDefinesIt) {
    EXPECT_THAT(matches(R"(\s)", "\u180Ea\u200B\u00A0\u0085\v"),
                ElementsAre("\u00A0", "\u0085", "\v"));
    EXPECT_THAT(matches(R"([\S]+)", "\u180Ea\u00A0"), ElementsAre("\u180Ea"));
    EXPECT_THAT(matches(R"(\S+)", "\u180Ea\u00A0"), ElementsAre("\u180Ea"));
    EXPECT_THAT(matches(R"(\v)", "\n\v"), ElementsAre("\v"));
}

TEST(TokenizerRegex, KeepsEscapedBackslashesAndBrackets) {
    EXPECT_THAT(matches(R"(\\s)", R"(a\s b)"), ElementsAre(R"(\s)"));
    EXPECT_THAT(matches(R"(\[s\])", "[s]"), ElementsAre("[s]"));
    EXPECT_THAT(matches(R"([]a]+)", "x]a]"), ElementsAre("]a]"));
    EXPECT_THAT(matches(R"([^]a]+)", "x]a]"), ElementsAre("x"));
}

TEST(TokenizerRegex, SkipsEmptyMatches) {
    EXPECT_THAT(matches(R"(a*)", "baaé"), ElementsAre("aa"));
    EXPECT_THAT(matches(R"(a*)", ""), ElementsAre());
}

TEST(TokenizerRegex, RejectsWhatOnigurumaAndPcre2ReadDifferently) {
    for (const char* pattern : {"[a[bc]]", "[a&&b]", "[[:alpha:]]", R"(\h)", R"([\W])", R"(\X)",
                                R"(\pL)", "(", "[a", R"(\p{Nonsense})", "a{2,1}"})
        EXPECT_THROW(Regex(pattern, "test"), Error) << pattern;
}

TEST(TokenizerRegex, GivesUpOnAPatternThatNeedsTooManySteps) {
    const Regex regex(R"((a|aa|aaa)+\z)", "test");
    EXPECT_THROW(regex.split(std::string(100, 'a') + "b"), Error);
}

TEST(TokenizerRegex, MatchesMoreThanTheJitStackHolds) {
    const std::string text(300000, 'a');
    EXPECT_THAT(matches(R"((?:a|b)+)", text), ElementsAre(text));
}

TEST(SplitAtString, FindsEveryOccurrence) {
    const auto spans = split_at_string("--a---", "--");
    ASSERT_EQ(spans.size(), 4u);
    EXPECT_TRUE(spans[0].match);
    EXPECT_FALSE(spans[1].match);
    EXPECT_TRUE(spans[2].match);
    EXPECT_FALSE(spans[3].match);
    EXPECT_EQ(split_at_string("abc", "").size(), 1u);
    EXPECT_TRUE(split_at_string("", "a").empty());
}

}  // namespace
}  // namespace vq
