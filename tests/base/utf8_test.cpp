// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

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

}  // namespace
}  // namespace vq
