// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer_regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/io/tokenizers/tokenizer_test_files.h"

namespace vq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
    std::vector<std::string> out;
    std::size_t covered = 0;
    for (const Span& span : Regex(pattern, "test").split(text)) {
        EXPECT_EQ(span.begin, covered) << "spans cover the text";
        EXPECT_LE(span.begin, span.end);
        EXPECT_TRUE(span.match || span.begin < span.end) << "no gap is empty";
        covered = span.end;
        if (span.match && span.begin < span.end)
            out.push_back(text.substr(span.begin, span.end - span.begin));
    }
    EXPECT_EQ(covered, text.size());
    return out;
}

std::vector<std::string> pieces(const std::string& pattern, const std::string& text) {
    std::vector<std::string> out;
    for (const Span& span : Regex(pattern, "test").split(text))
        if (span.begin < span.end) out.push_back(text.substr(span.begin, span.end - span.begin));
    return out;
}

std::string error_of(const std::string& pattern) {
    try {
        Regex(pattern, "test");
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(TokenizerRegex, KnowsLettersThatPcre2DoesNot) {
    const std::string newer = "\U00031350";  // CJK extension H
    EXPECT_THAT(matches(R"(\p{L}+)", "a" + newer + "b-"), ElementsAre("a" + newer + "b"));
    EXPECT_THAT(matches(R"([^\s\p{L}]+)", "-" + newer + "-"), ElementsAre("-", "-"));
    EXPECT_THAT(matches(R"(\P{L}+)", "-" + newer), ElementsAre("-"));
    EXPECT_THAT(matches(R"(\p{^L}+)", "-" + newer), ElementsAre("-"));
    EXPECT_THAT(matches(R"([\P{L}]+)", "-" + newer), ElementsAre("-"));
    EXPECT_THAT(matches(R"(\p{Cn})", "\U000E0000" + newer), ElementsAre("\U000E0000"));
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

TEST(TokenizerRegex, EmptyMatchesPartTheTextWhereTheyStand) {
    EXPECT_THAT(matches(R"(a*)", "baaé"), ElementsAre("aa"));
    EXPECT_THAT(matches(R"(a*)", ""), ElementsAre());
    // The end of a match is no place for another, empty one.
    EXPECT_THAT(pieces(R"(a*)", "baaé"), ElementsAre("b", "aa", "é"));
    EXPECT_THAT(pieces(R"((?=(\d{3})+(?!\d)))", "x1234567é"), ElementsAre("x1", "234", "567é"));
}

TEST(TokenizerRegex, PiecesEqualThoseOfThePublicPackage) {
    const nlohmann::json golden = nlohmann::json::parse(read_test_file("patterns.json"));
    const std::string text = golden["text"];
    EXPECT_GT(golden["pieces"].size(), 60u);
    for (const auto& [pattern, expected] : golden["pieces"].items())
        EXPECT_EQ(pieces(pattern, text), expected.get<std::vector<std::string>>()) << pattern;
}

TEST(TokenizerRegex, RefusesByNameWhatItCannotRewrite) {
    for (const auto& [pattern, name] : std::vector<std::pair<const char*, const char*>>{
             {R"(\X)", R"(\X)"},
             {R"(a\Kb)", R"(\K)"},
             {R"(\G)", R"(\G)"},
             {R"(\y)", R"(\y)"},
             {R"(\pL)", R"(\p without)"},
             {R"((a)\1)", "reference"},
             {R"((?<n>a)\k<n>)", R"(\k)"},
             {R"((?<n>a)\g<n>)", R"(\g)"},
             {R"(\cA)", R"(\c)"},
             {R"(\xC3)", "byte"},
             {R"(\p{Nonsense})", "Nonsense"},
             {R"(\p{Alpha})", "Alpha"},
             {R"([[:alpha:]])", "alpha"},
             {R"([a&&])", "empty class"},
             {R"([&&a])", "empty class"},
             {R"([\d-x])", "range"},
             {R"([a-\d])", "range"},
             {R"([z-a])", "range"},
             {R"(a{2,1})", "repeat count"},
             {R"(a{70000})", "65535 repeats"},
             {R"(^*)", "anchor"},
             {R"(\b+)", "anchor"},
             {R"((?=a)+)", "anchor"},
             {R"((?x: a))", "(?x"},
             {R"((?s:a))", "(?s"},
             {R"((?P<n>a))", "(?P"},
             {R"((?~a))", "(?~"},
             {R"((*FAIL))", "(*"},
             {R"((?i:ss))", R"("ss")"},
             {R"((?i:oFfer))", R"("ff")"},
             {R"((?i:é))", "ASCII"},
             {R"((?i:[à-é]))", "ASCII"},
             {R"((?i:\p{Lu}))", "property"},
             {R"((?i:\w))", R"(\w)"},
             {R"(*a)", "repeats nothing"},
             {R"((+))", "repeats nothing"},
             {"(", "( without )"},
             {"a)", ") too many"},
             {"(?", "( without )"},
             {"[a", "[ without ]"},
             {"[]", "empty class"},
             {"[^]", "empty class"},
             {"\\", "backslash"},
             {"\xFF", "UTF-8"},
             {"(?#a", "comment"},
         })
        EXPECT_THAT(error_of(pattern), HasSubstr(name)) << pattern;
    EXPECT_THAT(error_of(std::string(5000, '(')), HasSubstr("nested"));
    EXPECT_THAT(error_of(std::string(5000, '[')), HasSubstr("nested"));
    EXPECT_THAT(error_of("(?<=a+)b"), HasSubstr("does not compile"));
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
