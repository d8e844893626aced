// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoints/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "base/cancel.h"
#include "io/checkpoints/checkpoint_hash.h"
#include "io/checkpoints/file_tensors.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void expect_tiny_weights(const WeightSource& source, const TinyModel& model) {
    const auto list = model.tensors();
    ASSERT_EQ(source.names().size(), list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
        EXPECT_EQ(source.names()[i], list[i].name) << "model order";
        const Matrix weights = source.read(list[i].name);
        const std::vector<float> expected = tiny_values(list[i]);
        ASSERT_EQ(weights.rows(), std::max<std::int64_t>(1, list[i].rows));
        ASSERT_EQ(weights.cols(), list[i].cols);
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), weights.data())) << list[i].name;
    }
}

TinyModel tiny(const char* architecture, bool tied, bool biased) {
    TinyModel model;
    model.architecture = architecture;
    model.tied = tied;
    model.biased = biased;
    return model;
}

const TinyModel variants[] = {tiny("llama", true, false), tiny("llama", false, true),
                              tiny("qwen2", true, true), tiny("qwen2", false, true)};

/// Opens a checkpoint and reads everything in it.
void read_all(const std::string& path) {
    const auto source = open_checkpoint(path);
    for (const std::string& name : source->names()) source->read(name);
}

class Checkpoint : public ::testing::Test {
protected:
    /// The error of a HF folder whose list of tensors was altered.
    std::string error_of_folder(const Alter& alter, const TinyModel& model = {}) {
        write_hf_folder(folder_.path(), model, SafetensorType::f32, alter);
        return error_of([&] { read_all(folder_.path()); });
    }
    std::string error_of_gguf(const GgufBuilder& gguf) {
        write_bytes(gguf_, gguf.bytes());
        return error_of([&] { read_all(gguf_); });
    }
    TempFolder folder_;
    std::string weights_ = folder_ / "model.safetensors";
    std::string gguf_ = folder_ / "model.gguf";
};

TEST(CheckpointHash, ALongTensorCanBeStoppedAndIsHashedAsOne) {
    std::vector<std::uint8_t> bytes(std::size_t{40} << 20);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i >> 9);
    Hasher pieces;
    hash_tensor(bytes.data(), bytes.size(), pieces);
    Hasher whole;
    whole.add(bytes.data(), bytes.size());
    EXPECT_EQ(pieces.hex(), whole.hex());
    int asked = 0;
    const std::function<bool()> third = [&] { return ++asked == 3; };
    const CancelScope cancel(third);
    EXPECT_THROW(hash_tensor(bytes.data(), bytes.size(), pieces), Cancelled);
}

TEST_F(Checkpoint, FolderGivesTheWeightsInEveryType) {
    for (const TinyModel& model : variants) {
        for (const auto type : {SafetensorType::f32, SafetensorType::f16, SafetensorType::bf16}) {
            write_hf_folder(folder_.path(), model, type);
            const auto source = open_checkpoint(folder_.path());
            EXPECT_EQ(source->config().hf_json, model.config_json());
            expect_tiny_weights(*source, model);
        }
    }
}

TEST_F(Checkpoint, GgufGivesTheSameWeightsAsTheFolder) {
    for (const TinyModel& model : variants) {
        write_bytes(gguf_, tiny_gguf(model).bytes());
        expect_tiny_weights(*open_checkpoint(gguf_), model);
    }
}

TEST_F(Checkpoint, QuantizedTensorsOfGgufAreDequantised) {
    // The down projection as Q8_0: scale 0.5, weights -16..15 in each block.
    std::string blocks;
    for (int block = 0; block < 32 * 64 / 32; ++block) {
        blocks += raw(std::uint16_t{0x3800});
        for (int j = 0; j < 32; ++j) blocks += raw(static_cast<std::int8_t>(j - 16));
    }
    GgufBuilder mixed;
    mixed.set("general.architecture", "llama").set("llama.block_count", 1u);
    mixed.set("llama.context_length", 8u).set("llama.embedding_length", 32u);
    mixed.set("llama.feed_forward_length", 64u).set("llama.attention.head_count", 2u);
    mixed.set("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    const auto dense = [&](const char* name, std::uint64_t cols, std::uint64_t rows) {
        const std::vector<float> zeros(cols * std::max<std::uint64_t>(rows, 1), 0.0F);
        mixed.tensor(name, rows == 0 ? std::vector<std::uint64_t>{cols} : std::vector{cols, rows},
                     0, raw_floats(zeros));
    };
    dense("token_embd.weight", 32, 4);
    for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
                             "blk.0.attn_output.weight"})
        dense(name, 32, 32);
    for (const char* name :
         {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"})
        dense(name, 32, 0);
    dense("blk.0.ffn_gate.weight", 32, 64);
    dense("blk.0.ffn_up.weight", 32, 64);
    mixed.tensor("blk.0.ffn_down.weight", {64, 32}, 8, blocks);
    write_bytes(gguf_, mixed.bytes());
    const Matrix down = open_checkpoint(gguf_)->read("model.layers.0.mlp.down_proj.weight");
    for (Index i = 0; i < down.size(); ++i)
        ASSERT_EQ(down.data()[i], 0.5F * static_cast<float>(i % 32 - 16));
}

TEST_F(Checkpoint, ShardsGiveTheSameWeightsAndHashAsOneFile) {
    const TinyModel model;
    write_hf_folder(folder_ / "one", model);
    const auto one = open_checkpoint(folder_ / "one");
    const std::string sharded = folder_ / "two";
    std::filesystem::create_directories(sharded);
    write_bytes(sharded + "/config.json", model.config_json());
    auto list = model.tensors();
    const std::vector<TinyModel::Entry> first(list.begin(), list.begin() + 5);
    const std::vector<TinyModel::Entry> second(list.begin() + 5, list.end());
    write_safetensors(sharded + "/a.safetensors", first, SafetensorType::f32);
    write_safetensors(sharded + "/b.safetensors", second, SafetensorType::f32);
    std::string map;
    for (std::size_t i = 0; i < list.size(); ++i)
        map += (i == 0 ? "\"" : ",\"") + list[i].name + "\":\"" + (i < 5 ? "a" : "b") +
               ".safetensors\"";
    write_bytes(sharded + "/model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
    const auto two = open_checkpoint(sharded);
    expect_tiny_weights(*two, model);
    EXPECT_EQ(one->content_hash(), two->content_hash());

    std::filesystem::remove(sharded + "/b.safetensors");
    EXPECT_THAT(error_of([&] { open_checkpoint(sharded); }), HasSubstr("b.safetensors"));
    write_safetensors(sharded + "/b.safetensors", {second.begin() + 1, second.end()},
                      SafetensorType::f32);
    EXPECT_THAT(error_of([&] { open_checkpoint(sharded); }),
                AllOf(HasSubstr("not in the shard"), HasSubstr(second.front().name)));

    // What others would take from a shard though the index does not name it there.
    std::vector<TinyModel::Entry> more = second;
    more.push_back(first.back());
    write_safetensors(sharded + "/b.safetensors", more, SafetensorType::f32);
    EXPECT_THAT(error_of([&] { open_checkpoint(sharded); }),
                AllOf(HasSubstr("in two shards"), HasSubstr(first.back().name)));
    more.back().name = "lm_head.weight";
    write_safetensors(sharded + "/b.safetensors", more, SafetensorType::f32);
    EXPECT_THAT(error_of([&] { open_checkpoint(sharded); }), HasSubstr("not in the index"));
}

TEST_F(Checkpoint, HashTellsContentApart) {
    TinyModel model;
    write_hf_folder(folder_.path(), model);
    const std::string hash = open_checkpoint(folder_.path())->content_hash();
    EXPECT_EQ(hash, open_checkpoint(folder_.path())->content_hash());
    std::string bytes = read_bytes(weights_);
    bytes[bytes.size() - 3] = static_cast<char>(bytes[bytes.size() - 3] ^ 1);
    write_bytes(weights_, bytes);
    EXPECT_NE(hash, open_checkpoint(folder_.path())->content_hash()) << "one bit of a weight";
    write_hf_folder(folder_.path(), model);
    write_bytes(folder_ / "config.json", model.config_json() + " ");
    EXPECT_NE(hash, open_checkpoint(folder_.path())->content_hash()) << "configuration";
}

TEST_F(Checkpoint, TokenizerFilesComeAlong) {
    write_hf_folder(folder_.path(), TinyModel());
    write_bytes(folder_ / "tokenizer.json", "{}");
    write_bytes(folder_ / "generation_config.json", "{ }");
    write_bytes(folder_ / "README.md", "no");
    const TokenizerFiles files = open_checkpoint(folder_.path())->tokenizer_files();
    EXPECT_EQ(files, (TokenizerFiles{{"tokenizer.json", "{}"}, {"generation_config.json", "{ }"}}));
}

TEST_F(Checkpoint, StopTokensOfBothConfigurationsCount) {
    const auto stops = [&](const char* generation_config) {
        write_hf_folder(folder_.path(), TinyModel());  // eos_token_id 2, 12 tokens
        write_bytes(folder_ / "generation_config.json", generation_config);
        return open_checkpoint(folder_.path())->config().eos_ids;
    };
    using Ids = std::vector<std::int64_t>;
    EXPECT_EQ(stops(R"({"eos_token_id": [2, 5, 7], "temperature": 0.6})"), (Ids{2, 5, 7}));
    EXPECT_EQ(stops(R"({"eos_token_id": 9})"), (Ids{2, 9}));
    EXPECT_EQ(stops(R"({"eos_token_id": null})"), (Ids{2}));
    EXPECT_EQ(stops("{}"), (Ids{2}));
    EXPECT_EQ(stops(R"({"eos_token_id": [12, -1, 11]})"), (Ids{2, 11})) << "12 tokens in all";
    const auto notes = open_checkpoint(folder_.path())->notes();
    ASSERT_EQ(notes.size(), 2u);
    EXPECT_THAT(notes[0], AllOf(HasSubstr("generation_config.json"), HasSubstr("12")));
    EXPECT_THAT(error_of([&] { stops(R"({"eos_token_id": "</s>"})"); }), HasSubstr("eos_token_id"));
    EXPECT_THAT(error_of([&] { stops("[2]"); }), HasSubstr("generation_config.json"));
}

TEST_F(Checkpoint, TensorsThatOldFilesCarryAlongAreIgnored) {
    write_hf_folder(folder_.path(), TinyModel(), SafetensorType::f32, [](auto& list) {
        list.push_back({"lm_head.weight", 12, 32, "model.embed_tokens.weight"});
        list.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", 0, 8});
    });
    expect_tiny_weights(*open_checkpoint(folder_.path()), TinyModel());
}

TEST_F(Checkpoint, ATiedModelWithAnotherHeadUsesIt) {
    write_hf_folder(folder_.path(), TinyModel(), SafetensorType::f32, [](auto& list) {
        list.push_back({"lm_head.weight", 12, 32});
    });
    const auto source = open_checkpoint(folder_.path());
    EXPECT_FALSE(source->config().tie_embeddings);
    EXPECT_FALSE(parse_hf_config(source->config().hf_json, "config.json").tie_embeddings);
    ASSERT_EQ(source->notes().size(), 1U);
    EXPECT_THAT(source->notes().front(),
                AllOf(HasSubstr("lm_head.weight"), HasSubstr("tie_word_embeddings")));
    EXPECT_EQ(source->names().back(), "lm_head.weight");
    EXPECT_THAT(error_of_folder([](auto& list) {
                    list.push_back({"lm_head.weight", 11, 32, "model.embed_tokens.weight"});
                }),
                HasSubstr("lm_head.weight"));
}

/// A Granite mixture of three experts, its stacks as the family writes them.
void write_stacked_experts(const std::string& folder) {
    std::filesystem::create_directories(folder);
    write_bytes(folder + "/config.json", R"({"model_type": "granitemoe", "vocab_size": 12,
        "hidden_size": 8, "intermediate_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 2,
        "tie_word_embeddings": true, "max_position_embeddings": 64})");
    const std::string layer = "model.layers.0.";
    std::vector<SafetensorEntry> entries = {
        {"model.embed_tokens.weight", SafetensorType::f32, {12, 8}},
        {layer + "input_layernorm.weight", SafetensorType::f32, {8}},
        {layer + "post_attention_layernorm.weight", SafetensorType::f32, {8}},
        {layer + "block_sparse_moe.router.layer.weight", SafetensorType::f32, {3, 8}},
        {layer + "block_sparse_moe.input_linear.weight", SafetensorType::f32, {3, 8, 8}},
        {layer + "block_sparse_moe.output_linear.weight", SafetensorType::f32, {3, 8, 4}},
        {"model.norm.weight", SafetensorType::f32, {8}}};
    for (const char* part : {"q_proj", "k_proj", "v_proj", "o_proj"})
        entries.push_back({layer + "self_attn." + part + ".weight", SafetensorType::f32, {8, 8}});
    SafetensorsWriter writer(folder + "/model.safetensors", entries);
    std::vector<float> values(256);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    for (const SafetensorEntry& entry : entries) writer.write(entry.name, values.data());
    writer.finish();
}

TEST_F(Checkpoint, ExpertsOfAStackAreMatrices) {
    write_stacked_experts(folder_.path());
    const auto source = open_checkpoint(folder_.path());
    const std::string part = "model.layers.0.block_sparse_moe.";
    EXPECT_EQ(source->read(part + "input_linear.weight[2]")(1, 3), 2 * 64 + 8 + 3);
    EXPECT_EQ(source->read(part + "output_linear.weight[1]")(7, 2), 32 + 28 + 2);
    EXPECT_EQ(source->shape(part + "output_linear.weight[1]").cols, 4);
    EXPECT_FALSE(source->has(part + "input_linear.weight"));
    std::vector<std::string> stacks;
    for (const FileTensor& tensor : file_tensors(*source))
        if (tensor.parts.size() > 1) {
            stacks.push_back(tensor.name);
            EXPECT_EQ(tensor.dims.size(), 3U);
            EXPECT_EQ(tensor.parts.size(), 3U);
        }
    EXPECT_EQ(stacks, (std::vector<std::string>{part + "input_linear.weight",
                                                part + "output_linear.weight"}));
}

TEST(FileLayout, ComesBackAsItWas) {
    Matrix values(6, 4);
    for (Index i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(i);
    for (const ExpertLayout layout : {ExpertLayout::single, ExpertLayout::stacked,
                                      ExpertLayout::transposed, ExpertLayout::interleaved})
        EXPECT_EQ(from_file_layout(to_file_layout(values, layout, false), layout, false), values);
    // Rows 0 and 3 are the first of gate and of up: the first two columns in the file.
    const Matrix stored = to_file_layout(values, ExpertLayout::interleaved, false);
    EXPECT_EQ(stored(1, 0), values(0, 1));
    EXPECT_EQ(stored(1, 1), values(3, 1));
    const Matrix bias = values.row(0);
    EXPECT_EQ(to_file_layout(bias, ExpertLayout::interleaved, true)(0, 1), bias(0, 2));
    EXPECT_EQ(from_file_layout(to_file_layout(bias, ExpertLayout::interleaved, true),
                               ExpertLayout::interleaved, true),
              bias);
}

TEST_F(Checkpoint, TiedEmbeddingsMayStandUnderTheNameOfTheOutput) {
    write_hf_folder(folder_.path(), TinyModel(), SafetensorType::f32,
                    [](auto& list) { list[0].name = "lm_head.weight"; });
    const auto source = open_checkpoint(folder_.path());
    EXPECT_EQ(source->names().size(), TinyModel().tensors().size());
    const std::vector<float> expected = tiny_values({"lm_head.weight", 12, 32});
    const Matrix embedding = source->read("model.embed_tokens.weight");
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), embedding.data()));
}

TEST_F(Checkpoint, MissingTensorsAreNamed) {
    const auto list = TinyModel().tensors();
    for (std::size_t i = 0; i < list.size(); ++i)
        EXPECT_THAT(
            error_of_folder([&](auto& all) { all.erase(all.begin() + static_cast<long>(i)); }),
            AllOf(HasSubstr("missing"), HasSubstr(list[i].name)));
    TinyModel untied;
    untied.tied = false;
    EXPECT_THAT(error_of_folder([](auto& all) { all.pop_back(); }, untied),
                HasSubstr("lm_head.weight"));
    write_hf_folder(folder_.path(), TinyModel());
    const auto source = open_checkpoint(folder_.path());
    EXPECT_FALSE(source->has("nothing"));
    EXPECT_THAT(error_of([&] { source->read("nothing"); }), HasSubstr("nothing"));
    EXPECT_THAT(error_of([&] { source->shape("nothing"); }), HasSubstr("nothing"));
}

TEST_F(Checkpoint, WrongShapesAreNamedWithBothShapes) {
    EXPECT_THAT(error_of_folder([](auto& list) { list[2].rows += 1; }),
                AllOf(HasSubstr("33 x 32"), HasSubstr("32 x 32"), HasSubstr("q_proj")));
    EXPECT_THAT(error_of_folder([](auto& list) { list[1].cols = 31; }),
                HasSubstr("input_layernorm"));
    TinyModel wider;
    wider.middle = 96;
    write_hf_folder(folder_.path(), TinyModel());
    write_bytes(folder_ / "config.json", wider.config_json());
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_.path()); }), HasSubstr("gate_proj"));
}

TEST_F(Checkpoint, TensorsOfAnotherModelAreRefused) {
    EXPECT_THAT(error_of_folder([](auto& list) {
                    list.push_back({"model.layers.0.self_attn.q_norm.weight", 0, 16});
                }),
                AllOf(HasSubstr("not part of a llama model"), HasSubstr("q_norm")));
    EXPECT_THAT(error_of_folder([](auto& list) {
                    list.push_back({"model.layers.0.self_attn.q_proj.bias", 0, 32});
                }),
                HasSubstr("q_proj.bias"));
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.tensor("blk.0.ffn_gate_inp.weight", {32, 2}, 0, std::string(256, '\0'));
    EXPECT_THAT(error_of_gguf(gguf), HasSubstr("ffn_gate_inp"));
}

TEST_F(Checkpoint, PartsOfATensorInGgufMustEachHaveTheirSize) {
    TinyModel model;
    model.architecture = "granitehybrid";  // gate and up are one tensor, of two in the file
    const auto opened = [&](const Alter& change) {
        write_bytes(folder_ / "m.gguf", tiny_gguf(model, {}, change).bytes());
        return error_of([&] { open_checkpoint(folder_ / "m.gguf"); });
    };
    write_bytes(folder_ / "m.gguf", tiny_gguf(model).bytes());
    EXPECT_NO_THROW(open_checkpoint(folder_ / "m.gguf"));
    const auto resize = [](const std::string& part, std::int64_t rows, std::int64_t cols) {
        return [=](std::vector<TinyModel::Entry>& list) {
            for (auto& entry : list)
                if (entry.name.find(part) != std::string::npos) {
                    entry.rows += rows;
                    entry.cols += cols;
                }
        };
    };
    EXPECT_THAT(opened(resize("layers.0.mlp.gate_proj", 0, 32)), HasSubstr("blk.0.ffn_"));
    EXPECT_THAT(opened([&](std::vector<TinyModel::Entry>& list) {
                    resize("layers.0.mlp.gate_proj", 8, 0)(list);
                    resize("layers.0.mlp.up_proj", -8, 0)(list);
                }),
                AllOf(HasSubstr("blk.0.ffn_gate"), HasSubstr("72")));
}

TEST_F(Checkpoint, BlocksBehindTheLastOneAreNotLeftOutUnlessTheFileSaysWhy) {
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.tensor("blk.2.attn_q.weight", {32}, 0, raw_floats(std::vector<float>(32, 1.0F)));
    write_bytes(folder_ / "m.gguf", gguf.bytes());
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_ / "m.gguf"); }),
                HasSubstr("blk.2.attn_q.weight"));
}

TEST_F(Checkpoint, ValuesThatAreNotFiniteAreFoundWithTheirPlace) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
        const GgufBuilder gguf = tiny_gguf(TinyModel(), [&](const std::string& name, auto& values) {
            if (name == "model.layers.1.mlp.up_proj.weight") values[3 * 32 + 7] = bad;
        });
        EXPECT_THAT(error_of_gguf(gguf), AllOf(HasSubstr("blk.1.ffn_up.weight"), HasSubstr("row 3"),
                                               HasSubstr("column 7")));
    }
    write_hf_folder(folder_.path(), TinyModel());
    std::string bytes = read_bytes(weights_);
    bytes.replace(bytes.size() - 4, 4, raw(NAN));
    write_bytes(weights_, bytes);
    const auto source = open_checkpoint(folder_.path());
    EXPECT_THAT(error_of([&] { source->read("model.norm.weight"); }),
                AllOf(HasSubstr("model.norm.weight"), HasSubstr("column 31"), HasSubstr("nan")));
    EXPECT_EQ(source->read("model.embed_tokens.weight").rows(), 12) << "others still read";
}

TEST_F(Checkpoint, UnsupportedTypesAreRefusedWhenOpened) {
    write_hf_folder(folder_.path(), TinyModel());
    std::string bytes = read_bytes(weights_);
    const auto at = bytes.find("\"F32\"");
    bytes.replace(at, 5, "\"I32\"");
    write_bytes(weights_, bytes);
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_.path()); }),
                AllOf(HasSubstr("I32"), HasSubstr("embed_tokens")));
}

TEST_F(Checkpoint, PathsThatAreNoCheckpointAreRefused) {
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_ / "none"); }), HasSubstr(folder_ / "none"));
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_.path()); }), HasSubstr("no config.json"));
    write_bytes(folder_ / "config.json", TinyModel().config_json());
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_.path()); }),
                HasSubstr("neither model.safetensors nor"));
    EXPECT_THAT(error_of([&] { open_checkpoint(folder_ / "config.json"); }),
                HasSubstr("not a checkpoint"));
    write_bytes(gguf_, "");
    EXPECT_THAT(error_of([&] { open_checkpoint(gguf_); }), HasSubstr("not a checkpoint"));
}

TEST_F(Checkpoint, ReadsFromManyThreadsAgree) {
    write_bytes(gguf_, tiny_gguf(TinyModel()).bytes());
    const auto source = open_checkpoint(gguf_);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int round = 0; round < 5; ++round)
                for (const auto& entry : TinyModel().tensors()) {
                    const Matrix weights = source->read(entry.name);
                    const auto expected = tiny_values(entry);
                    if (!std::equal(expected.begin(), expected.end(), weights.data())) ++wrong;
                }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

TEST_F(Checkpoint, TruncatedFilesAreErrors) {
    write_hf_folder(folder_.path(), TinyModel());
    const std::string safetensors = read_bytes(weights_);
    for (std::size_t size = 0; size < safetensors.size(); size += 1 + size / 20) {
        write_bytes(weights_, safetensors.substr(0, size));
        EXPECT_THAT(error_of([&] { read_all(folder_.path()); }), HasSubstr("model.safetensors"));
    }
    const std::string gguf = tiny_gguf(TinyModel()).bytes();
    for (std::size_t size = 0; size < gguf.size(); size += 1 + size / 20) {
        write_bytes(gguf_, gguf.substr(0, size));
        EXPECT_THAT(error_of([&] { read_all(gguf_); }), HasSubstr("model.gguf"));
    }
}

TEST_F(Checkpoint, FlippedHeaderBytesNeverCrash) {
    TinyModel model;
    model.layers = 1;
    const GgufBuilder gguf = tiny_gguf(model);
    const std::string whole = gguf.bytes();
    for (std::size_t at = 0; at < gguf.header_bytes(); ++at) {
        for (const int flip : {0x01, 0x80}) {
            std::string damaged = whole;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            write_bytes(gguf_, damaged);
            succeeds_or_errs([&] { read_all(gguf_); }, std::to_string(at));
        }
    }
    write_hf_folder(folder_.path(), model);
    const std::string config = model.config_json();
    for (std::size_t at = 0; at < config.size(); ++at) {
        for (const int flip : {0x01, 0x02, 0x08, 0x80}) {
            std::string damaged = config;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            write_bytes(folder_ / "config.json", damaged);
            succeeds_or_errs([&] { read_all(folder_.path()); }, std::to_string(at));
        }
    }
}

}  // namespace
}  // namespace vq::test
