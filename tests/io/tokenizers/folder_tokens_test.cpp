// SPDX-License-Identifier: Apache-2.0
// What other files of a folder than the vocabulary say about tokens. Ids are those that transformers
// 5.24 gives for the same folders.
#include "io/tokenizers/folder_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/io/tokenizers/tokenizer_test_files.h"

namespace vq {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<TokenId>;

/// A sentencepiece model of 550 pieces in a folder with these files.
class FolderTokensTest : public testing::Test {
protected:
    void SetUp() override {
        config_ = {{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", false}};
        files_ = test_tokenizer_files("spm-bpe");
        files_["added_tokens.json"] = R"({"<tok>": 550, "<sp>": 551})";
    }
    std::unique_ptr<Tokenizer> loaded() {
        files_["tokenizer_config.json"] = config_.dump();
        return load_tokenizer(files_, "checkpoint");
    }
    Ids ids(const std::string& text) { return loaded()->encode(text, true); }
    std::string error() {
        try {
            loaded();
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }
    json config_;
    TokenizerFiles files_;
};

TEST_F(FolderTokensTest, AddedTokensJsonIsRead) {
    EXPECT_THAT(ids("a<tok>river b"), ElementsAre(265, 550, 296, 392));
    EXPECT_THAT(ids("x\n<tok>\nriver"), ElementsAre(428, 467, 13, 550, 13, 296));
    EXPECT_THAT(ids("a <sp> river"), ElementsAre(265, 428, 551, 319));
    EXPECT_EQ(loaded()->vocab_size(), 552);
    EXPECT_EQ(loaded()->id_of("<sp>"), 551);
    EXPECT_EQ(loaded()->decode(Ids{265, 550, 296, 392}, true), "a<tok>river b");
}

TEST_F(FolderTokensTest, LegacySaysWhatFollowsAnAddedToken) {
    config_["legacy"] = true;
    EXPECT_THAT(ids("a<tok>river b"), ElementsAre(265, 550, 319, 392));
    EXPECT_THAT(ids("x\n<tok>\nriver"), ElementsAre(428, 467, 13, 550, 428, 13, 296));
    config_["legacy"] = false;
    EXPECT_THAT(ids("a<tok>river b"), ElementsAre(265, 550, 296, 392));
}

TEST_F(FolderTokensTest, NoPrefixSpaceWhereTheConfigurationSaysSo) {
    config_["add_prefix_space"] = false;
    for (const bool legacy : {false, true}) {
        config_["legacy"] = legacy;
        EXPECT_THAT(ids("river"), ElementsAre(296));
        EXPECT_THAT(ids(" river"), ElementsAre(319));
        EXPECT_THAT(ids("a<tok>river b"), ElementsAre(431, 550, 296, 392));
        EXPECT_THAT(ids("<tok> river"), ElementsAre(550, 319));
        EXPECT_EQ(loaded()->decode(Ids{319}, false), " river");
        EXPECT_EQ(loaded()->decode(Ids{296}, false), "river");
    }
    config_["add_prefix_space"] = true;
    EXPECT_THAT(ids("river"), ElementsAre(319));
}

TEST_F(FolderTokensTest, NamesAloneMakeSpecialTokens) {
    files_["special_tokens_map.json"] =
        R"({"additional_special_tokens": ["<sp>"], "pad_token": "<pad>", "bos_token": "<s>"})";
    const auto tokenizer = loaded();
    EXPECT_EQ(tokenizer->id_of("<pad>"), 552) << "behind all others";
    EXPECT_EQ(tokenizer->decode(Ids{265, 551, 550, 552}, true), "a<tok>");
    EXPECT_THAT(ids("a<pad>"), ElementsAre(265, 552));
    EXPECT_THAT(ids("<s>"), ElementsAre(1)) << "a piece that is named";
}

TEST_F(FolderTokensTest, TheConfigurationsOwnListReplacesTheOlderFiles) {
    config_["added_tokens_decoder"] = {{"550", {{"content", "<tok>"}, {"special", true}}}};
    files_["special_tokens_map.json"] = R"({"pad_token": "<pad>"})";
    const auto tokenizer = loaded();
    EXPECT_THAT(ids("a<tok>river b"), ElementsAre(265, 550, 296, 392));
    EXPECT_THAT(ids("a <sp> river"), ElementsAre(265, 359, 436, 450, 468, 319))
        << "no token any more";
    EXPECT_EQ(tokenizer->id_of("<pad>"), -1);
    EXPECT_EQ(tokenizer->decode(Ids{265, 550}, true), "a");
}

TEST_F(FolderTokensTest, MalformedFilesAreNamed) {
    files_["added_tokens.json"] = R"({"<tok>": "x"})";
    EXPECT_THAT(error(), HasSubstr("added_tokens.json"));
    files_["added_tokens.json"] = R"({"<tok>": -5})";
    EXPECT_THAT(error(), HasSubstr("<tok>"));
    files_["added_tokens.json"] = "[]";
    EXPECT_THAT(error(), HasSubstr("added_tokens.json"));
    files_["added_tokens.json"] = "{}";
    files_["special_tokens_map.json"] = "{";
    EXPECT_THAT(error(), HasSubstr("special_tokens_map.json"));
    files_["special_tokens_map.json"] = R"({"pad_token": {"lstrip": true}})";
    EXPECT_THAT(error(), HasSubstr("content"));
}

TEST(FolderTokensOfTokenizerJson, AreAddedAndReplaceFlags) {
    json definition = tiny_tokenizer();
    definition["added_tokens"] = json::parse(R"([{"id": 8, "content": "<s>", "special": false}])");
    TokenizerFiles files{{"tokenizer.json", definition.dump()}};
    EXPECT_EQ(load_tokenizer(files, "checkpoint")->decode(Ids{8, 5}, true), "<s>ab");
    files["tokenizer_config.json"] = R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})";
    files["added_tokens.json"] = R"({"<x>": 9})";
    const auto tokenizer = load_tokenizer(files, "checkpoint");
    EXPECT_THAT(tokenizer->encode("<s>ab<x></s>", false), ElementsAre(8, 5, 9, 10));
    EXPECT_EQ(tokenizer->decode(Ids{8, 5, 9, 10}, true), "ab<x>");
    files["tokenizer_config.json"] = R"({"added_tokens_decoder":
        {"8": {"content": "<s>", "special": true, "rstrip": true}}})";
    EXPECT_THAT(load_tokenizer(files, "checkpoint")->encode("<s>  ab", false), ElementsAre(8, 5));
}

TEST(UnigramTokenizerJson, IsLeftForTheModelBesideIt) {
    TokenizerFiles files = test_tokenizer_files("spm-bpe");
    const Ids river = load_tokenizer(files, "checkpoint")->encode("river", true);
    EXPECT_TRUE(load_tokenizer(files, "checkpoint")->notes().empty());
    files["tokenizer.json"] =
        R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5]]}})";
    const auto tokenizer = load_tokenizer(files, "checkpoint");
    EXPECT_EQ(tokenizer->encode("river", true), river);
    EXPECT_THAT(tokenizer->notes(), ElementsAre(HasSubstr("tokenizer.model")));
    files.erase("tokenizer.model");
    try {
        load_tokenizer(files, "checkpoint");
        FAIL() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("Unigram"));
    }
}

}  // namespace
}  // namespace vq
