// SPDX-License-Identifier: Apache-2.0
#include "io/files/text_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files/text_encoding.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Text in UTF-16 or UTF-32 (`width` bytes a character of the basic plane).
std::string wide(const std::u16string& text, int width, bool little, bool mark) {
    std::string out;
    const auto put = [&](char16_t c) {
        for (int i = 0; i < width; ++i) {
            const int byte = little ? i : width - 1 - i;
            out += byte < 2 ? static_cast<char>(c >> (8 * byte) & 255) : '\0';
        }
    };
    if (mark) put(0xFEFF);
    for (const char16_t c : text) put(c);
    return out;
}

class TextInput : public ::testing::Test {
protected:
    std::string error_of_text(const std::string& text) {
        write_bytes(path_, text);
        return error_of([&] { read_text(path_); });
    }
    std::string text_of(const std::string& text) {
        write_bytes(path_, text);
        return read_text(path_);
    }
    TempFolder folder_;
    std::string path_ = folder_ / "text.txt";
};

TEST_F(TextInput, Utf8IsReadAsItStands) {
    for (const std::string text :
         {"a", "Größe, 日本 \U0001F600\n",
          "\xEF\xBB\xBF"
          "marked",
          "a\r\nb", "<html>a page</html>", "<?xml version='1.0'?><a/>", "BZ"})
        EXPECT_EQ(text_of(text), text);
    // A byte here and there that is none is left to the tokenizer.
    const std::string broken = std::string(1000, 'a') + "\xFF" + std::string(1000, 'b');
    EXPECT_EQ(text_of(broken), broken);
    const std::string nul = std::string(1000, 'a') + '\0' + std::string(1000, 'b');
    EXPECT_EQ(text_of(nul), nul);
}

TEST_F(TextInput, OtherEncodingsAreNamed) {
    const std::u16string english = u"The river carries a letter.\nAnd so on, it goes.\n";
    const std::u16string chinese = u"河流带着一封信。\n就这样继续, 1 2 3 4 5。 \n";
    for (const bool mark : {true, false}) {
        for (const std::u16string& text : {english, chinese}) {
            EXPECT_THAT(error_of_text(wide(text, 2, true, mark)),
                        AllOf(HasSubstr("UTF-16 text (little-endian)"), HasSubstr("iconv")));
            EXPECT_THAT(error_of_text(wide(text, 2, false, mark)),
                        HasSubstr("UTF-16 text (big-endian)"));
            EXPECT_THAT(error_of_text(wide(text, 4, true, mark)),
                        HasSubstr("UTF-32 text (little-endian)"));
            EXPECT_THAT(error_of_text(wide(text, 4, false, mark)),
                        HasSubstr("UTF-32 text (big-endian)"));
        }
    }
    EXPECT_THAT(error_of_text("Gr\xF6\xDF"
                              "e, M\xFC"
                              "nchen, K\xF6ln: \xC4pfel"),
                HasSubstr("not UTF-8"));
    EXPECT_THAT(error_of_text("\x83\x65\x83\x4C\x83\x58\x83\x67"), HasSubstr("not UTF-8"))
        << "Shift JIS";
}

TEST_F(TextInput, WhatIsNoTextIsNamed) {
    EXPECT_THAT(error_of_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"),
                AllOf(HasSubstr("Git LFS pointer"), HasSubstr("git lfs pull")));
    EXPECT_THAT(error_of_text(std::string("\x1F\x8B\x08\0\0\0", 6)), HasSubstr("gzip"));
    EXPECT_THAT(error_of_text(std::string(100, '\0')), HasSubstr("zeros"));
    std::string binary;
    for (int i = 0; i < 2000; ++i) binary += static_cast<char>(i * i % 251);
    EXPECT_THAT(error_of_text(binary), HasSubstr("text"));
    EXPECT_THAT(error_of_text(" \n"), HasSubstr("empty"));
}

TEST(EncodingFault, KnowsUtf8FromWhatOnlyLooksLikeIt) {
    for (const char* bad :
         {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xE3\x81", "\xE3\x81g"})
        EXPECT_NE(encoding_fault(bad).what, nullptr) << bad;
    for (const char* good : {"", "\u00e9", "\ud7ff\ue000", "\U0010FFFF", "\u0800\U00010000"})
        EXPECT_EQ(encoding_fault(good).what, nullptr) << good;
}

}  // namespace
}  // namespace vq::test
