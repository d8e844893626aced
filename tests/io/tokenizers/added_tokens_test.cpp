// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vq {
namespace {

using testing::ElementsAre;

/// "id:text" of every piece; "text" where there is no token.
std::vector<std::string> pieces(const AddedTokenMatcher& matcher, const std::string& text) {
    std::vector<std::string> out;
    for (const auto& piece : matcher.split(text)) {
        const std::string part = text.substr(piece.begin, piece.end - piece.begin);
        out.push_back(piece.id < 0 ? part : std::to_string(piece.id) + ":" + part);
    }
    return out;
}

AddedToken token(const std::string& content, TokenId id) {
    AddedToken out;
    out.content = content;
    out.id = id;
    return out;
}

TEST(AddedTokenMatcher, TakesTheLongestOfTheLeftmostTokens) {
    AddedTokenMatcher matcher;
    for (const AddedToken& t : {token("<|", 1), token("<|end|>", 2), token("end|>x", 3)})
        matcher.add(t.content, t);
    EXPECT_THAT(pieces(matcher, "a<|end|>x"), ElementsAre("a", "2:<|end|>", "x"));
    EXPECT_THAT(pieces(matcher, "<|end"), ElementsAre("1:<|", "end"));
    EXPECT_THAT(pieces(matcher, "<end|>x"), ElementsAre("<", "3:end|>x"));
    EXPECT_THAT(pieces(matcher, ""), ElementsAre());
}

TEST(AddedTokenMatcher, WithoutTokensLeavesTheTextWhole) {
    EXPECT_THAT(pieces(AddedTokenMatcher(), "text"), ElementsAre("text"));
}

TEST(AddedTokenMatcher, SwallowsWhiteSpaceOnlyOnTheSideThatStrips) {
    AddedTokenMatcher matcher;
    AddedToken left = token("<l>", 1);
    left.lstrip = true;
    AddedToken right = token("<r>", 2);
    right.rstrip = true;
    matcher.add(left.content, left);
    matcher.add(right.content, right);
    EXPECT_THAT(pieces(matcher, "a \u3000<l> b"), ElementsAre("a", "1: \u3000<l>", " b"));
    EXPECT_THAT(pieces(matcher, "a <r> \nb"), ElementsAre("a ", "2:<r> \n", "b"));
    EXPECT_THAT(pieces(matcher, "<r> <l>"), ElementsAre("2:<r> ", "1:<l>"));
}

TEST(AddedTokenMatcher, FindsASingleWordOnlyBetweenNonWordCharacters) {
    AddedTokenMatcher matcher;
    AddedToken word = token("cat", 1);
    word.single_word = true;
    matcher.add(word.content, word);
    EXPECT_THAT(pieces(matcher, "cat-cat"), ElementsAre("1:cat", "-", "1:cat"));
    EXPECT_THAT(pieces(matcher, "cats écat cat"), ElementsAre("cats écat ", "1:cat"));
}

TEST(AddedTokenMatcher, KeepsTheFirstOfTokensWithTheSameText) {
    AddedTokenMatcher matcher;
    matcher.add("x", token("x", 1));
    matcher.add("x", token("x", 2));
    matcher.add("", token("", 3));
    EXPECT_THAT(pieces(matcher, "yx"), ElementsAre("y", "1:x"));
}

}  // namespace
}  // namespace vq
