// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/unicode.h"

#include <gtest/gtest.h>

namespace vq {
namespace {

TEST(ReplaceInvalidUtf8, PutsOneReplacementForEveryMaximalIllFormedPart) {
    // The answers of Python's bytes.decode("utf-8", "replace").
    const std::pair<std::string, std::string> cases[] = {
        {"\xFF", "\uFFFD"},
        {"a\x80"
         "b",
         "a\uFFFDb"},
        {std::string("\xC0\x80", 2), "\uFFFD\uFFFD"},
        {"\xE2\x82", "\uFFFD"},
        {"\xE2\x82\x41", "\uFFFDA"},
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
        {"\xF0\x9F\x98", "\uFFFD"},
        {"\xF0\x9F\x98\x80", "\U0001F600"},
        {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
        {"\xE0\x80\xAF", "\uFFFD\uFFFD\uFFFD"},
        {"\xF0\x80\x80\x41", "\uFFFD\uFFFD\uFFFDA"},
        {"\xC3\xC3\xA9", "\uFFFDé"},
        {"\xF1\x80\x80\xE1\x80\xC2\x62", "\uFFFD\uFFFD\uFFFDb"},
        {std::string("a\0b", 3), std::string("a\0b", 3)},
    };
    for (const auto& [bytes, text] : cases) {
        EXPECT_EQ(replace_invalid_utf8(bytes), text);
        EXPECT_EQ(is_valid_utf8(bytes), bytes == text);
    }
}

TEST(Utf8, DecodesWhatItAppends) {
    for (char32_t value = 0; value < 0x110000; value += value < 0x900 ? 1 : 257) {
        if (value >= 0xD800 && value < 0xE000) continue;
        std::string text;
        append_utf8(text, value);
        EXPECT_TRUE(is_valid_utf8(text));
        EXPECT_EQ(decode_utf8(text, 0).value, value);
        EXPECT_EQ(static_cast<std::size_t>(decode_utf8(text, 0).bytes), text.size());
    }
}

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
