// SPDX-License-Identifier: Apache-2.0
#include "model/calibration_text.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

// Lines of nine letters and a newline that tell where they stand.
std::string lines(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
        std::string number = std::to_string(i);
        text += std::string(9 - number.size(), 'x') + number + "\n";
    }
    return text;
}

std::string text_of(const std::vector<TokenId>& window) {
    return test::ByteTokenizer().decode(window, true);
}

TEST(CalibrationText, WindowsAreSpreadOverTheFileAndBeginLines) {
    const std::string text = lines(1000);
    const auto got = calibration_windows({{"a", text}}, test::ByteTokenizer(), 100, 500, {});
    ASSERT_EQ(got.windows.size(), 5U);
    EXPECT_EQ(got.tokens, 500);
    for (std::size_t i = 0; i < 5; ++i) {
        const std::size_t at = text.find(text_of(got.windows[i]));
        EXPECT_EQ(at, i * 2000);
        EXPECT_EQ(got.windows[i].size(), 100U);
    }
}

TEST(CalibrationText, EveryFileGivesTheSameShare) {
    const std::string other(20000, 'z');
    const auto got =
        calibration_windows({{"a", lines(1000)}, {"b", other}}, test::ByteTokenizer(), 64, 640, {});
    ASSERT_EQ(got.windows.size(), 10U);
    for (std::size_t i = 0; i < 10; ++i)
        EXPECT_EQ(text_of(got.windows[i]).find('z') != std::string::npos, i >= 5);
}

TEST(CalibrationText, ConversationsAreSpreadAndBeginWindows) {
    const TokenizerFiles files = {
        {"tokenizer_config.json",
         R"({"chat_template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"})"}};
    const ChatTemplate chat(files, "model");
    std::string text;
    for (int i = 0; i < 100; ++i)
        text += R"({"messages": [{"role": "user", "content": "q)" + std::to_string(i) +
                R"("}, {"role": "assistant", "content": "a"}]})" + "\n\n";
    const NamedText named{"talk.jsonl", text, true};
    const auto got = calibration_windows({named}, test::ByteTokenizer(), 100, 80, {}, &chat);
    std::vector<std::string> windows;
    for (const auto& window : got.windows) windows.push_back(text_of(window));
    // 21 and 22 bytes each: four of them, from 0, 1/2, 1/4 and 3/4 of 128.
    EXPECT_EQ(windows,
              (std::vector<std::string>{"<user>q0<assistant>a", "<user>q32<assistant>a",
                                        "<user>q64<assistant>a", "<user>q96<assistant>a"}));
    EXPECT_EQ(
        text_of(
            calibration_windows({named}, test::ByteTokenizer(), 9, 9, {}, &chat).windows.front()),
        "<user>q0<")
        << "cut at ctx";
    for (const char* bad : {"{\"messages\": []}", "no json", "{\"text\": \"x\"}"}) {
        try {
            calibration_windows({{"talk.jsonl", std::string(bad), true}}, test::ByteTokenizer(), 9,
                                9, {}, &chat);
            FAIL() << "no error for " << bad;
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find("talk.jsonl, conversation 1"),
                      std::string::npos);
        }
    }
}

TEST(CalibrationText, AShortFileGivesWhatItHasWithANote) {
    std::string note;
    Progress progress;
    progress.note = [&](const std::string& line) { note = line; };
    const std::string text = lines(25);
    const auto got =
        calibration_windows({{"short.txt", text}}, test::ByteTokenizer(), 100, 5000, progress);
    ASSERT_EQ(got.windows.size(), 3U);
    EXPECT_EQ(got.tokens, 250);
    std::string all;
    for (const auto& window : got.windows) all += text_of(window);
    EXPECT_EQ(all, text);
    EXPECT_NE(note.find("short.txt"), std::string::npos);
    EXPECT_NE(note.find("250"), std::string::npos);
}

TEST(CalibrationText, AFileOfJustEnoughTokensGivesWholeWindowsWithoutANote) {
    Progress progress;
    progress.note = [](const std::string& line) { ADD_FAILURE() << line; };
    const auto got =
        calibration_windows({{"a", lines(45)}}, test::ByteTokenizer(), 100, 400, progress);
    ASSERT_EQ(got.windows.size(), 4U);
    for (const auto& window : got.windows) EXPECT_EQ(window.size(), 100U);
}

TEST(CalibrationText, HashTellsWindowsApart) {
    const test::ByteTokenizer tokenizer;
    const auto a = calibration_windows({{"a", lines(1000)}}, tokenizer, 100, 500, {});
    EXPECT_EQ(a.hash,
              calibration_windows({{"renamed", lines(1000)}}, tokenizer, 100, 500, {}).hash);
    EXPECT_NE(a.hash, calibration_windows({{"a", lines(1000)}}, tokenizer, 100, 400, {}).hash);
    std::string changed = lines(1000);
    changed[5] = 'y';
    EXPECT_NE(a.hash, calibration_windows({{"a", changed}}, tokenizer, 100, 500, {}).hash);
}

TEST(CalibrationText, EmptyTextIsAnErrorThatNamesIt) {
    const test::ByteTokenizer tokenizer;
    try {
        calibration_windows({{"full.txt", lines(10)}, {"empty.txt", ""}}, tokenizer, 10, 20, {});
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("empty.txt"), std::string::npos);
    }
    EXPECT_THROW(calibration_windows({}, tokenizer, 10, 20, {}), Error);
    EXPECT_THROW(calibration_windows({{"a", "abc"}}, tokenizer, 0, 20, {}), Error);
    EXPECT_THROW(calibration_windows({{"a", "abc"}}, tokenizer, 10, 0, {}), Error);
}

}  // namespace
}  // namespace vq
