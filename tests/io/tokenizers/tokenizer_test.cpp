// SPDX-License-Identifier: Apache-2.0
#include "io/tokenizers/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "base/error.h"
#include "io/tokenizers/unicode.h"
#include "tests/io/tokenizers/tokenizer_test_files.h"

namespace vq {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<TokenId>;

/// The line that loading throws; empty when it does not.
std::string error_of(const TokenizerFiles& files) {
    try {
        load_tokenizer(files, "checkpoint");
    } catch (const Error& e) {
        return e.what();
    }
    return {};
}

std::string error_of_json(const json& tokenizer_json) {
    return error_of({{"tokenizer.json", tokenizer_json.dump()}});
}

// Golden ids: written by scripts/compare_tokenizers.py --write-golden with the Python packages.
class GoldenIds : public testing::TestWithParam<const char*> {
protected:
    std::unique_ptr<Tokenizer> tokenizer_ =
        load_tokenizer(test_tokenizer_files(GetParam()), GetParam());
    json texts_ = json::parse(read_test_file("texts.json"));
    json golden_ = json::parse(read_test_file(std::string(GetParam()) + "/golden.json"));
};

TEST_P(GoldenIds, EncodeGivesTheIdsOfThePythonPackages) {
    ASSERT_GE(texts_.size(), 200u);
    ASSERT_EQ(texts_.size(), golden_["plain"].size());
    for (std::size_t i = 0; i < texts_.size(); ++i)
        EXPECT_EQ(tokenizer_->encode(texts_[i].get<std::string>(), false),
                  golden_["plain"][i].get<Ids>())
            << texts_[i];
}

TEST_P(GoldenIds, AddSpecialPutsTheTemplateAroundTheIds) {
    const auto before = golden_["special_of_empty"].get<Ids>();  // no template here has an end
    for (const json& text : texts_) {
        Ids expected = before;
        const Ids plain = tokenizer_->encode(text.get<std::string>(), false);
        expected.insert(expected.end(), plain.begin(), plain.end());
        EXPECT_EQ(tokenizer_->encode(text.get<std::string>(), true), expected) << text;
    }
}

TEST_P(GoldenIds, DecodeGivesTheTextOfThePythonPackages) {
    const json& different = golden_["decoded_differently"];
    for (std::size_t i = 0; i < texts_.size(); ++i) {
        const auto ids = golden_["plain"][i].get<Ids>();
        const json expected = different.value(std::to_string(i), texts_[i]);
        EXPECT_EQ(tokenizer_->decode(ids, false), expected.get<std::string>()) << texts_[i];
    }
}

TEST_P(GoldenIds, AllTextsAtOnceFromSeveralThreadsGiveTheSameIds) {
    std::string all;
    for (const json& text : texts_) all += text.get<std::string>();
    const Ids expected = tokenizer_->encode(all, true);
    std::vector<Ids> got(4);
    std::vector<std::thread> threads;
    threads.reserve(got.size());
    for (Ids& ids : got) threads.emplace_back([&] { ids = tokenizer_->encode(all, true); });
    for (std::thread& thread : threads) thread.join();
    for (const Ids& ids : got) EXPECT_EQ(ids, expected);
}

TEST_P(GoldenIds, InvalidBytesAreEncodedAsReplacementCharacters) {
    const std::string broken = "caf\xC3 \xE2\x82 x\xFF";
    EXPECT_EQ(tokenizer_->encode(broken, false),
              tokenizer_->encode("caf\uFFFD \uFFFD x\uFFFD", false));
}

TEST_P(GoldenIds, EveryIdIsBelowTheVocabularySize) {
    TokenId highest = 0;
    for (const json& ids : golden_["plain"])
        for (const TokenId id : ids.get<Ids>()) highest = std::max(highest, id);
    EXPECT_GT(tokenizer_->vocab_size(), highest);
    EXPECT_EQ(tokenizer_->decode(Ids{-1, static_cast<TokenId>(tokenizer_->vocab_size())}, false),
              "");
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, GoldenIds,
                         testing::Values("gpt2", "llama3", "qwen2", "smollm", "llama2", "spm-bpe"),
                         [](const auto& info) {
                             std::string name = info.param;
                             std::erase(name, '-');
                             return name;
                         });

// ---------------------------------------------------------------------------------------------

TEST(BpeMerges, AreThoseOfTheLowestRankedLeftmostPair) {
    // A long text has its merges in a heap, a short one by scanning: both against a plain
    // reference.
    json definition = tiny_tokenizer();
    json& model = definition["model"];
    std::vector<std::pair<std::string, std::string>> merges = {
        {"b", "c"},   {"a", "b"}, {"bc", "d"},  {"a", "a"},    {"aa", "a"}, {"d", "e"},
        {"ab", "ab"}, {"e", "a"}, {"aa", "aa"}, {"bcd", "ea"}, {"c", "c"},  {"cc", "cc"}};
    model["vocab"] = json::object();
    model["merges"] = json::array();
    std::vector<std::string> tokens = {"a", "b", "c", "d", "e"};
    for (const auto& [left, right] : merges) {
        tokens.push_back(left + right);
        model["merges"].push_back(json::array({left, right}));
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) model["vocab"].emplace(tokens[i], i);
    const auto tokenizer = load(definition);

    std::mt19937 random(5);
    for (std::size_t length = 0; length < 150; ++length) {
        std::string text;
        for (std::size_t i = 0; i < length; ++i) text += "aabcde"[random() % 6];
        std::vector<std::string> parts;
        for (const char c : text) parts.emplace_back(1, c);
        for (std::size_t rank = 0; rank < merges.size();) {
            const auto& [left, right] = merges[rank];
            bool merged = false;
            for (std::size_t i = 0; i + 1 < parts.size() && !merged; ++i) {
                merged = parts[i] == left && parts[i + 1] == right;
                if (merged) {
                    parts[i] += parts[i + 1];
                    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
                }
            }
            rank = merged ? 0 : rank + 1;
        }
        Ids expected;
        for (const std::string& part : parts) expected.push_back(tokenizer->id_of(part));
        EXPECT_EQ(tokenizer->encode(text, false), expected) << text;
    }
}

TEST(BpeMerges, ReadAlikeAsStringsAndAsPairs) {
    json definition = json::parse(read_test_file("gpt2/tokenizer.json"));
    for (json& merge : definition["model"]["merges"]) {
        if (merge.is_string()) {
            const auto text = merge.get<std::string>();
            merge = json::array({text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)});
        } else {
            merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
        }
    }
    const auto changed = load(definition);
    const auto original = load_tokenizer(test_tokenizer_files("gpt2"), "gpt2");
    for (const json& text : json::parse(read_test_file("texts.json")))
        EXPECT_EQ(changed->encode(text.get<std::string>(), false),
                  original->encode(text.get<std::string>(), false));
}

TEST(BpeMerges, AreIgnoredForWholeTokensWhenTheModelSaysSo) {
    json definition = tiny_tokenizer();
    definition["model"]["vocab"]["bad"] = 8;
    EXPECT_THAT(load(definition)->encode("bad", false), ElementsAre(1, 0, 3));
    definition["model"]["ignore_merges"] = true;
    EXPECT_THAT(load(definition)->encode("bad", false), ElementsAre(8));
}

TEST(UnknownCharacters, BecomeTheUnknownTokenFusedOrOneByOne) {
    json definition = tiny_tokenizer();
    EXPECT_THAT(load(definition)->encode("axyb", false), ElementsAre(5)) << "no unknown token";
    definition["model"]["unk_token"] = "e";
    EXPECT_THAT(load(definition)->encode("axyb", false), ElementsAre(0, 4, 4, 1));
    definition["model"]["fuse_unk"] = true;
    EXPECT_THAT(load(definition)->encode("axyb", false), ElementsAre(0, 4, 1));
    definition["model"]["unk_token"] = "gone";
    EXPECT_THROW(load(definition)->encode("axyb", false), Error);
}

TEST(UnknownCharacters, BecomeBytesWhenAllTheirBytesAreTokens) {
    json definition = tiny_tokenizer();
    json& model = definition["model"];
    model["unk_token"] = "e";
    model["byte_fallback"] = true;
    model["vocab"]["<0xC3>"] = 8;
    model["vocab"]["<0xA9>"] = 9;
    EXPECT_THAT(load(definition)->encode("aéb", false), ElementsAre(0, 8, 9, 1));
    EXPECT_THAT(load(definition)->encode("aèb", false), ElementsAre(0, 4, 1));
}

TEST(AddedTokens, TakeTheNextFreeIdsAndAreLeftOutOfDecodingWhenSpecial) {
    json definition = tiny_tokenizer();
    definition["added_tokens"] = json::parse(R"([
        {"id": 8, "content": "<s>", "special": true, "normalized": false},
        {"id": 9, "content": "<tool>", "special": false, "normalized": false}])");
    const auto tokenizer = load(definition);
    const Ids ids = tokenizer->encode("<s>ab<tool>e", false);
    EXPECT_THAT(ids, ElementsAre(8, 5, 9, 4));
    EXPECT_EQ(tokenizer->decode(ids, false), "<s>ab<tool>e");
    EXPECT_EQ(tokenizer->decode(ids, true), "ab<tool>e");
    EXPECT_EQ(tokenizer->id_of("<s>"), 8);
    EXPECT_EQ(tokenizer->id_of("abcd"), 7);
    EXPECT_EQ(tokenizer->id_of("<s"), -1);
    EXPECT_EQ(tokenizer->vocab_size(), 10);
}

TEST(AddedTokens, ThatANormalizerChangesAreStillSpecial) {
    json definition = tiny_tokenizer();
    definition["normalizer"] = {{"type", "Prepend"}, {"prepend", "_"}};
    definition["added_tokens"] =
        json::parse(R"([{"id": 8, "content": "<s>", "special": true, "normalized": true}])");
    const auto tokenizer = load(definition);
    EXPECT_THAT(tokenizer->encode("<s>ab", false), ElementsAre(8, 5));
    EXPECT_EQ(tokenizer->decode(Ids{8, 5}, true), "ab");
}

TEST(LoadTokenizer, PrefersTokenizerJson) {
    TokenizerFiles files = test_tokenizer_files("spm-bpe");
    const auto from_model = load_tokenizer(files, "checkpoint")->vocab_size();
    files["tokenizer.json"] = tiny_tokenizer().dump();
    EXPECT_EQ(load_tokenizer(files, "checkpoint")->vocab_size(), 8);
    EXPECT_NE(from_model, 8);
}

TEST(LoadTokenizer, NamesTheCheckpointWithoutATokenizer) {
    EXPECT_THAT(error_of(TokenizerFiles{}), HasSubstr("checkpoint"));
}

TEST(LoadTokenizer, NamesEveryPartThatItDoesNotSupport) {
    const auto with = [](const char* key, const json& value) {
        json definition = tiny_tokenizer();
        definition[key] = value;
        return error_of_json(definition);
    };
    const json odd = {{"type", "Oddity"}};
    const json nested = {{"type", "Sequence"},
                         {"normalizers", {odd}},
                         {"pretokenizers", {odd}},
                         {"processors", {odd}},
                         {"decoders", {odd}}};
    for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
        EXPECT_THAT(with(key, odd), HasSubstr("Oddity")) << key;
        EXPECT_THAT(with(key, nested), HasSubstr("Oddity")) << key;
        EXPECT_THAT(with(key, json::object()), HasSubstr("type")) << key;
        EXPECT_THAT(with(key, 7), HasSubstr("type")) << key;
    }
    json model = tiny_tokenizer()["model"];
    model["type"] = "WordPiece";
    EXPECT_THAT(with("model", model), HasSubstr("WordPiece"));
    EXPECT_THAT(with("model", nullptr), HasSubstr("model"));
}

TEST(LoadTokenizer, RejectsWhatTheModelCannotMean) {
    const auto with = [](const char* key, const json& value) {
        json definition = tiny_tokenizer();
        definition["model"][key] = value;
        return error_of_json(definition);
    };
    EXPECT_THAT(with("merges", {"a bc"}), HasSubstr("bc"));
    EXPECT_THAT(with("merges", {"ab"}), HasSubstr("merge 0"));
    EXPECT_THAT(with("merges", {"a b", "a b c"}), HasSubstr("merge 1"));
    EXPECT_THAT(with("merges", json::array({json::array({"a", 5})})), HasSubstr("merge 0"));
    EXPECT_THAT(with("merges", "a b"), HasSubstr("merges"));
    EXPECT_THAT(with("vocab", {{"a", -1}}), HasSubstr("-1"));
    EXPECT_THAT(with("vocab", {{"a", 1ull << 40}}), HasSubstr("1099511627776"));
    EXPECT_THAT(with("vocab", {{"a", ~0ull}}), HasSubstr("18446744073709551615"));
    EXPECT_THAT(with("vocab", {{"a", "b"}}), HasSubstr("token id"));
    EXPECT_THAT(with("vocab", json::array()), HasSubstr("vocab"));
    EXPECT_THAT(with("dropout", 0.1), HasSubstr("dropout"));
    EXPECT_THAT(with("end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
    EXPECT_THAT(with("fuse_unk", "yes"), HasSubstr("fuse_unk"));
    EXPECT_EQ(with("dropout", 0.0), "");
}

TEST(LoadTokenizer, RejectsStepsNestedWithoutEnd) {
    json step = {{"type", "NFC"}};
    for (int i = 0; i < 1000; ++i) step = {{"type", "Sequence"}, {"normalizers", {step}}};
    json definition = tiny_tokenizer();
    definition["normalizer"] = step;
    EXPECT_THAT(error_of_json(definition), HasSubstr("nested"));
}

TEST(LoadTokenizer, RejectsATruncatedFileWhereverItIsCut) {
    for (const char* name : {"qwen2", "llama2"}) {
        const std::string whole = read_test_file(std::string(name) + "/tokenizer.json");
        for (std::size_t size = 0; size < whole.size(); size += 1 + size / 8)
            EXPECT_THAT(error_of({{"tokenizer.json", whole.substr(0, size)}}),
                        HasSubstr("tokenizer.json"))
                << name << " cut at " << size;
    }
    EXPECT_NE(error_of({{"tokenizer.model", ""}}), "");
    EXPECT_NE(error_of({{"tokenizer.model", "not a model"}}), "");
}

TEST(LoadTokenizer, MeetsDamagedFilesWithErrorsOnly) {
    const std::string whole = read_test_file("llama3/tokenizer.json");
    std::mt19937 random(6);
    int refused = 0;
    for (int round = 0; round < 200; ++round) {
        std::string damaged = whole;
        for (int i = 0; i < 3; ++i)
            damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
        try {
            load_tokenizer({{"tokenizer.json", damaged}}, "checkpoint")->encode("a b 1", true);
        } catch (const Error&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, 50);
}

TEST(SentencePiece, TakesBosEosAndAddedTokensFromTheConfiguration) {
    TokenizerFiles files = test_tokenizer_files("spm-bpe");
    const auto plain = load_tokenizer(files, "checkpoint");
    const Ids river = plain->encode("river", false);
    const TokenId bos = plain->id_of("<s>");
    const TokenId eos = plain->id_of("</s>");
    const auto added = static_cast<TokenId>(plain->vocab_size());
    json config = {{"add_bos_token", false},
                   {"add_eos_token", true},
                   {"added_tokens_decoder",
                    {{std::to_string(added), {{"content", "<pad>"}, {"special", true}}}}}};
    const auto with_config = [&] {
        files["tokenizer_config.json"] = config.dump();
        return load_tokenizer(files, "checkpoint");
    };
    const auto joined = [](Ids a, const Ids& b) {
        a.insert(a.end(), b.begin(), b.end());
        return a;
    };
    EXPECT_EQ(plain->encode("river", true), joined({bos}, river));
    EXPECT_EQ(with_config()->encode("river", true), joined(river, {eos}));
    EXPECT_EQ(with_config()->vocab_size(), added + 1);

    const Ids after = with_config()->encode("river<pad>river", false);
    EXPECT_EQ(after, joined(joined(river, {added}), river)) << "each with its leading space";
    EXPECT_EQ(with_config()->decode(after, false), "river<pad>river");
    EXPECT_EQ(with_config()->decode(after, true), "river river");

    config["legacy"] = false;
    const Ids bare = with_config()->encode("river<pad>river", false);
    EXPECT_NE(bare, after);
    EXPECT_EQ(with_config()->decode(bare, false), "river<pad>river");
    const Ids spaced = with_config()->encode("river<pad> river", false);
    EXPECT_EQ(spaced, after) << "a space of its own in place of the model's";

    config["added_tokens_decoder"] = {{"x1", {{"content", "<pad>"}}}};
    files["tokenizer_config.json"] = config.dump();
    EXPECT_THAT(error_of(files), HasSubstr("x1"));
    files["tokenizer_config.json"] = "{";
    EXPECT_THAT(error_of(files), HasSubstr("tokenizer_config.json"));
}

}  // namespace
}  // namespace vq
