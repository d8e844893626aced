// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Strings = std::vector<std::string>;
using Ints = std::vector<std::int32_t>;

/// A byte-level BPE vocabulary: an end token, letters, a merge, a user's token, filler.
GgufBuilder bpe_file(const char* pre) {
    GgufBuilder gguf;
    gguf.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", pre);
    gguf.set("tokenizer.ggml.tokens", Strings{"<|end|>", "a", "b", "ab", "<tool>", "[PAD5]"});
    gguf.set("tokenizer.ggml.token_type", Ints{3, 1, 1, 1, 4, 5});
    gguf.set("tokenizer.ggml.merges", Strings{"a b"});
    return gguf.set("tokenizer.ggml.eos_token_id", 0u).set("tokenizer.ggml.bos_token_id", 0u);
}

GgufBuilder sentencepiece_file() {
    GgufBuilder gguf;
    Strings tokens{"<unk>", "<s>", "</s>"};
    Ints types{2, 3, 3};
    for (int byte = 0; byte < 256; ++byte) {
        const char* digits = "0123456789ABCDEF";
        tokens.push_back(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">");
        types.push_back(6);
    }
    tokens.insert(tokens.end(), {"\xE2\x96\x81", "a", "b", "ab", "<my tag>"});
    types.insert(types.end(), {1, 1, 1, 1, 4});
    std::vector<float> scores(tokens.size());
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
    gguf.set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.tokens", tokens);
    gguf.set("tokenizer.ggml.scores", scores).set("tokenizer.ggml.token_type", types);
    return gguf.set("tokenizer.ggml.bos_token_id", 1u).set("tokenizer.ggml.eos_token_id", 2u);
}

class GgufTokenizer : public ::testing::Test {
protected:
    TokenizerFiles files_of(const GgufBuilder& gguf) {
        write_bytes(path_, gguf.bytes());
        notes_.clear();
        return gguf_tokenizer_files(GgufFile(path_), notes_);
    }
    std::string error_of_file(const GgufBuilder& gguf) {
        return error_of([&] { files_of(gguf); });
    }
    Json tokenizer_of(const GgufBuilder& gguf) {
        return Json::parse(files_of(gguf).at("tokenizer.json"));
    }
    TempFolder folder_;
    std::string path_ = folder_ / "model.gguf";
    std::vector<std::string> notes_;  ///< of the last file
};

TEST_F(GgufTokenizer, ByteLevelBpeBecomesTokenizerJson) {
    const Json json = tokenizer_of(bpe_file("smollm"));
    const Json& model = json["model"];
    EXPECT_EQ(model["type"], "BPE");
    EXPECT_EQ(model["byte_fallback"], false);
    EXPECT_EQ(model["vocab"].size(), 5u) << "filler is left out";
    EXPECT_EQ(model["vocab"]["ab"], 3);
    EXPECT_EQ(model["merges"], Json::array({"a b"}));
    ASSERT_EQ(json["added_tokens"].size(), 2u);
    EXPECT_EQ(json["added_tokens"][0]["content"], "<|end|>");
    EXPECT_EQ(json["added_tokens"][0]["special"], true);
    EXPECT_EQ(json["added_tokens"][1]["id"], 4);
    EXPECT_EQ(json["added_tokens"][1]["special"], false);
    EXPECT_EQ(json["added_tokens"][1]["normalized"], false);
    EXPECT_EQ(json["decoder"]["type"], "ByteLevel");
    EXPECT_TRUE(json["post_processor"].is_null());
}

TEST_F(GgufTokenizer, PreTokenizersAreThoseOfTheirModels) {
    const Json smollm = tokenizer_of(bpe_file("smollm"))["pre_tokenizer"]["pretokenizers"];
    EXPECT_EQ(smollm[0], Json({{"type", "Digits"}, {"individual_digits", true}}));
    EXPECT_EQ(smollm[1]["use_regex"], true);
    EXPECT_EQ(tokenizer_of(bpe_file("gpt-2"))["pre_tokenizer"]["type"], "ByteLevel");
    EXPECT_EQ(tokenizer_of(bpe_file("default"))["pre_tokenizer"]["use_regex"], true);
    const Json qwen = tokenizer_of(bpe_file("qwen2"));
    EXPECT_EQ(qwen["normalizer"]["type"], "NFC");
    const std::string pattern = qwen["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"];
    EXPECT_THAT(pattern, HasSubstr("|\\p{N}| ?"));
    const Json llama = tokenizer_of(bpe_file("llama-bpe"));
    EXPECT_EQ(llama["model"]["ignore_merges"], true);
    const std::string triple = llama["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"];
    EXPECT_THAT(triple, HasSubstr("\\p{N}{1,3}"));
    EXPECT_EQ(llama["post_processor"]["single"][0]["SpecialToken"]["id"], "<|end|>")
        << "BOS by default";
    const Json tekken = tokenizer_of(bpe_file("tekken"));
    EXPECT_EQ(tekken["model"]["ignore_merges"], true);
    EXPECT_TRUE(tekken["normalizer"].is_null());
    const Json deepseek = tokenizer_of(bpe_file("deepseek-v3"))["pre_tokenizer"]["pretokenizers"];
    ASSERT_EQ(deepseek.size(), 4u);
    EXPECT_EQ(deepseek[1]["pattern"]["Regex"], "[一-龥\u3040-ゟ゠-ヿ]+");
    EXPECT_EQ(deepseek[3]["use_regex"], false);
    const Json command = tokenizer_of(bpe_file("command-r"));
    EXPECT_EQ(command["normalizer"]["type"], "NFC");
    EXPECT_EQ(command["pre_tokenizer"]["pretokenizers"][0]["type"], "Digits");
    EXPECT_TRUE(notes_.empty());
    EXPECT_THAT(error_of_file(bpe_file("kimi-k2")),
                AllOf(HasSubstr("\"kimi-k2\""), HasSubstr("smollm")));
}

TEST_F(GgufTokenizer, AFileThatNamesNoPreTokenizerIsReadWithANote) {
    const auto unnamed = [](const char* begin, const char* end_of_turn) {
        GgufBuilder gguf;
        gguf.set("tokenizer.ggml.model", "gpt2");
        gguf.set("tokenizer.ggml.tokens", Strings{begin, "a", "b", "ab", end_of_turn});
        gguf.set("tokenizer.ggml.merges", Strings{"a b"});
        return gguf.set("tokenizer.ggml.bos_token_id", 0u);
    };
    const Json plain = tokenizer_of(unnamed("<s>", "</s>"));
    EXPECT_EQ(plain["pre_tokenizer"]["use_regex"], true);
    EXPECT_TRUE(plain["post_processor"].is_null());
    ASSERT_EQ(notes_.size(), 1u);
    EXPECT_THAT(notes_[0], AllOf(HasSubstr("tokenizer.ggml.pre is missing"), HasSubstr("GPT-2")));
    const Json llama = tokenizer_of(unnamed("<|begin_of_text|>", "<|eot_id|>"));
    EXPECT_EQ(llama["model"]["ignore_merges"], true);
    EXPECT_EQ(llama["post_processor"]["single"][0]["SpecialToken"]["id"], "<|begin_of_text|>");
    ASSERT_EQ(notes_.size(), 1u);
    EXPECT_THAT(notes_[0], HasSubstr("Llama 3"));
    files_of(bpe_file("default"));
    ASSERT_EQ(notes_.size(), 1u);
    EXPECT_THAT(notes_[0], HasSubstr("is \"default\""));
}

TEST_F(GgufTokenizer, GemmasCharactersHaveBytesToFallBackOn) {
    GgufBuilder gguf;
    gguf.set("tokenizer.ggml.model", "gemma4");
    gguf.set("tokenizer.ggml.tokens", Strings{"<unk>", "<bos>", "\u2581", "a",
                                              "\u2581"
                                              "a"});
    gguf.set("tokenizer.ggml.token_type", Ints{2, 3, 1, 1, 1});
    gguf.set("tokenizer.ggml.merges", Strings{"\u2581 a"});
    gguf.set("tokenizer.ggml.bos_token_id", 1u).set("tokenizer.ggml.unknown_token_id", 0u);
    gguf.set("tokenizer.ggml.add_bos_token", true);
    const Json json = tokenizer_of(gguf);
    EXPECT_EQ(json["normalizer"]["content"], "\u2581");
    EXPECT_TRUE(json["pre_tokenizer"].is_null());
    EXPECT_EQ(json["model"]["byte_fallback"], true);
    EXPECT_EQ(json["model"]["fuse_unk"], true);
    EXPECT_EQ(json["model"]["unk_token"], "<unk>");
    EXPECT_EQ(json["decoder"]["decoders"][1]["type"], "ByteFallback");
    EXPECT_EQ(json["post_processor"]["single"][0]["SpecialToken"]["id"], "<bos>");
}

TEST_F(GgufTokenizer, BosAndEosAreAddedAsTheFileSays) {
    GgufBuilder gguf = bpe_file("gpt-2");
    gguf.set("tokenizer.ggml.add_bos_token", true).set("tokenizer.ggml.add_eos_token", true);
    const Json post = tokenizer_of(gguf)["post_processor"];
    ASSERT_EQ(post["single"].size(), 3u);
    EXPECT_EQ(post["single"][1]["Sequence"]["id"], "A");
    EXPECT_EQ(post["special_tokens"]["<|end|>"]["ids"], Json::array({0}));
    EXPECT_EQ(post["pair"].size(), 6u);
    gguf = bpe_file("llama-bpe");
    gguf.set("tokenizer.ggml.add_bos_token", false);
    EXPECT_TRUE(tokenizer_of(gguf)["post_processor"].is_null());
}

TEST_F(GgufTokenizer, ConfigurationHoldsSpecialTokensAndTheChatTemplate) {
    GgufBuilder gguf = bpe_file("smollm");
    gguf.set("tokenizer.chat_template", "{{ \"x\" }}\n");
    const Json json = Json::parse(files_of(gguf).at("tokenizer_config.json"));
    EXPECT_EQ(json["eos_token"], "<|end|>");
    EXPECT_TRUE(json["unk_token"].is_null());
    EXPECT_EQ(json["add_bos_token"], false);
    EXPECT_EQ(json["chat_template"], "{{ \"x\" }}\n");
    EXPECT_EQ(json["added_tokens_decoder"]["4"]["content"], "<tool>");
    EXPECT_EQ(json["added_tokens_decoder"].size(), 2u);
    const Json other = Json::parse(files_of(sentencepiece_file()).at("tokenizer_config.json"));
    EXPECT_EQ(other["tokenizer_class"], "LlamaTokenizer");
    EXPECT_EQ(other["add_bos_token"], true);
}

TEST_F(GgufTokenizer, SentencepieceModelHasItsPiecesAndIds) {
    const TokenizerFiles files = files_of(sentencepiece_file());
    EXPECT_EQ(files.count("tokenizer.json"), 0u);
    const std::string& model = files.at("tokenizer.model");
    // Piece 0: field 1, 14 bytes: "<unk>", score 0, type 2 (unknown).
    EXPECT_EQ(
        model.substr(0, 16),
        std::string("\x0A\x0E\x0A\x05<unk>\x15\x80\0\0\0\x18\x02", 16).replace(10, 4, raw(-0.0F)));
    EXPECT_THAT(model, HasSubstr("\x0A\x0A<my\xE2\x96\x81tag>")) << "spaces inside pieces";
    // Byte fallback on (field 35), ids 0, 1, 2 and none (-1 takes ten bytes).
    EXPECT_THAT(
        model,
        HasSubstr(std::string("\x98\x02\x01\xC0\x02\x00\xC8\x02\x01\xD0\x02\x02\xD8\x02", 14) +
                  std::string(9, '\xFF') + "\x01"));
    // Normalizer: identity, dummy prefix, no removal of whitespace, escapes.
    EXPECT_THAT(model, HasSubstr(std::string("identity\x18\x01\x20\x00\x28\x01", 14)));
}

TEST_F(GgufTokenizer, ListsThatDoNotBelongTogetherAreRefused) {
    const auto bpe = [](const Strings& tokens, const Ints& types, const Strings& merges) {
        GgufBuilder gguf;
        gguf.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.tokens", tokens);
        gguf.set("tokenizer.ggml.token_type", types);
        return gguf.set("tokenizer.ggml.merges", merges);
    };
    EXPECT_THAT(error_of_file(bpe({"a", "b"}, {1}, {})), HasSubstr("1 types for 2 tokens"));
    EXPECT_THAT(error_of_file(bpe({"a", "a"}, {1, 1}, {})), HasSubstr("token 1 stands twice"));
    EXPECT_THAT(error_of_file(bpe({"a", "b"}, {1, 9}, {})), HasSubstr("unknown type 9"));
    EXPECT_THAT(error_of_file(bpe({}, {}, {})), HasSubstr("list of tokens is missing"));
    for (const char* merge : {"ab", " b", "a ", ""})
        EXPECT_THAT(error_of_file(bpe({"a"}, {1}, {merge})), HasSubstr("merges")) << merge;
    EXPECT_THAT(error_of_file(bpe({"\xFF"}, {1}, {})), HasSubstr("UTF-8"));
    GgufBuilder gguf;
    gguf.set("tokenizer.ggml.model", "bert");
    EXPECT_THAT(error_of_file(gguf), HasSubstr("\"bert\""));
    gguf = GgufBuilder();
    gguf.set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.tokens", Strings{"<unk>", ""});
    gguf.set("tokenizer.ggml.bos_token_id", 1u)
        .set("tokenizer.ggml.scores", std::vector<float>{0, 0});
    EXPECT_THAT(error_of_file(gguf), HasSubstr("token 1 is empty"));
}

TEST_F(GgufTokenizer, IdsBehindAPrunedVocabularyAreLeftOutWithANote) {
    GgufBuilder gguf;
    gguf.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", "llama-bpe");
    gguf.set("tokenizer.ggml.tokens", Strings{"a", "b"}).set("tokenizer.ggml.merges", Strings{});
    gguf.set("tokenizer.ggml.bos_token_id", 128000u).set("tokenizer.ggml.padding_token_id", 2u);
    EXPECT_TRUE(tokenizer_of(gguf)["post_processor"].is_null()) << "no BOS to add";
    ASSERT_EQ(notes_.size(), 2u);
    EXPECT_THAT(notes_[0], AllOf(HasSubstr("bos_token_id is 128000"), HasSubstr("ends at 2")));
    EXPECT_THAT(notes_[1], HasSubstr("padding_token_id is 2"));
}

TEST_F(GgufTokenizer, AFileWithoutTokenizerGivesNoFiles) {
    EXPECT_TRUE(files_of(GgufBuilder()).empty());
    GgufBuilder gguf;
    gguf.set("tokenizer.ggml.model", "llama").set("tokenizer.ggml.bos_token_id", 1u);
    EXPECT_TRUE(files_of(gguf).empty()) << "a tokenizer's name and no tokens";
}

TEST_F(GgufTokenizer, FlippedBytesNeverCrash) {
    for (const GgufBuilder& gguf : {bpe_file("llama-bpe"), bpe_file("qwen2")}) {
        const std::string whole = gguf.bytes();
        for (std::size_t at = 24; at < gguf.header_bytes(); ++at) {
            for (const int flip : {0x01, 0x04, 0x80, 0xFF}) {
                std::string damaged = whole;
                damaged[at] = static_cast<char>(damaged[at] ^ flip);
                write_bytes(path_, damaged);
                succeeds_or_errs([&] { gguf_tokenizer_files(GgufFile(path_), notes_); },
                                 std::to_string(at));
            }
        }
    }
}

}  // namespace
}  // namespace vq::test
