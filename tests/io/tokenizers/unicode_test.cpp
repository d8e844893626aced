// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/unicode.h"

#include <gtest/gtest.h>

namespace vq {
namespace {

TEST(NormalizeNfc, ComposesAndOrdersMarks) {
    EXPECT_EQ(normalize_nfc("plain ASCII"), "plain ASCII");
    EXPECT_EQ(normalize_nfc("e\u0301"), "é");
    EXPECT_EQ(normalize_nfc("e\u0301\u0323"), "\u1EB9\u0301");
    EXPECT_EQ(normalize_nfc("\u1112\u1161\u11ab"), "한");
    EXPECT_EQ(normalize_nfc("\u212B \u2126"), "Å Ω");
    EXPECT_EQ(normalize_nfc("\uFB01"), "\uFB01") << "no compatibility mapping";
    EXPECT_EQ(normalize_nfc(std::string("e\u0301\0e\u0301", 7)), std::string("é\0é", 5));
}

TEST(NormalizeNfc, OrdersALongRunOfMarks) {
    std::string text = "x";
    std::string ordered = "x";
    constexpr int count = 100000;
    for (int i = 0; i < count; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
    for (int i = 0; i < count; ++i) ordered += i < count / 2 ? "\u0323" : "\u0301";
    EXPECT_EQ(normalize_nfc(text), ordered) << "x with a dot below has no composed form";
}

TEST(NormalizeNfc, LeavesMarksNewerThanUnicode9WhereTheyAre) {
    EXPECT_EQ(normalize_nfc("e\u1AC1\u0323"), "e\u1AC1\u0323");
    EXPECT_EQ(normalize_nfc("e\u1AB0\u0323"), "\u1EB9\u1AB0") << "an older mark of the same class";
}

TEST(Categories, IncludeWhatUnicode16Added) {
    EXPECT_TRUE(is_word(0x31350));  // CJK extension H, Unicode 15.0
    EXPECT_TRUE(is_word(0x2EBF0));  // CJK extension I, Unicode 15.1
    EXPECT_TRUE(is_numeric(0x11F50));
    EXPECT_TRUE(is_numeric(0x1CCF0));
    EXPECT_FALSE(is_word(0x3FFFD));
}

TEST(Categories, AreThoseOfTokenizers) {
    for (const char32_t c : {U'7', U'٣', U'½', U'Ⅷ', U'〇'}) EXPECT_TRUE(is_numeric(c));
    for (const char32_t c : {U'a', U'.', U'一', U' '}) EXPECT_FALSE(is_numeric(c));
    for (const char32_t c : {U'a', U'_', U'é', U'\u0301', U'一', U'\u200D', U'Ⓐ', U'5'})
        EXPECT_TRUE(is_word(c));
    for (const char32_t c : {U'-', U'½', U'€', U' ', U'’'}) EXPECT_FALSE(is_word(c));
    for (const char32_t c : {U' ', U'\t', U'\u0085', U'\u00A0', U'\u3000'})
        EXPECT_TRUE(is_white_space(c));
    for (const char32_t c : {U'\u180E', U'\u200B', U'\uFEFF', U'x'})
        EXPECT_FALSE(is_white_space(c));
}

TEST(ByteLevelAlphabet, IsAOneToOneMapOfPrintableCharacters) {
    for (int byte = 0; byte < 256; ++byte) {
        const char32_t c = byte_level_char(static_cast<std::uint8_t>(byte));
        EXPECT_EQ(byte_level_byte(c), byte);
        EXPECT_FALSE(is_white_space(c));
    }
    EXPECT_EQ(byte_level_char(' '), U'Ġ');
    EXPECT_EQ(byte_level_byte(U' '), -1);
    EXPECT_EQ(byte_level_byte(U'一'), -1);
    EXPECT_EQ(to_byte_level("é\n"), "Ã©Ċ");
}

}  // namespace
}  // namespace vq
