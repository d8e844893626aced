// SPDX-License-Identifier: Apache-2.0
// Layers whose heads differ, and layers that look at the keys of others.
#include "io/families/head_sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "io/families/gguf_config.h"
#include "tests/io/families/config_summary.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Layers with windows and without take turns; the last is about the keys of the second.
Json two_kinds() {
    static const Json all = Json::parse(read_bytes(VQKIT_TEST_DATA "/families/data/configs.json"));
    Json json = all.at("gemma4_text");
    json["num_hidden_layers"] = 4;
    json["layer_types"].erase(json["layer_types"].begin() + 4, json["layer_types"].end());
    return json;
}
ModelConfig parse(const Json& json) {
    return parse_hf_config(json.dump(), "config.json");
}
std::string error_with(const char* key, const Json& value) {
    Json json = two_kinds();
    json[key] = value;
    return error_of([&] { parse(json); });
}

TEST(HeadSizes, AreThoseOfTheKindOfLayer) {
    const ModelConfig config = parse(two_kinds());
    for (const std::size_t l : {0, 1, 2, 3}) {
        const AttentionConfig& heads = config.layers[l].attention;
        const bool windowed = l % 2 == 0;
        EXPECT_EQ(heads.head_dim, windowed ? 12 : 16);
        EXPECT_EQ(heads.n_kv_heads, windowed ? 2 : 1);
        EXPECT_EQ(heads.keys_are_values, !windowed);
        EXPECT_EQ(heads.scale, 1.0);
        const RopeConfig& rope = config.ropes[static_cast<std::size_t>(heads.rope)];
        EXPECT_EQ(rope.head_dim, heads.head_dim);
        EXPECT_EQ(rope.dims, windowed ? 12 : 4);
    }
}

TEST(HeadSizes, OverridesByLayerSayTheSame) {
    Json json = two_kinds();
    const std::string expected = summary(parse(json));
    json.erase("global_head_dim");
    json.erase("num_global_key_value_heads");
    const Json full = {{"head_dim", 16}, {"num_key_value_heads", 1}};
    json["per_layer_config"] = {{"1", full}, {"3", full}};
    EXPECT_EQ(summary(parse(json)), expected);
    json["per_layer_config"].erase("3");
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("layers 1 and 3 are of one kind"));
    json["per_layer_config"] = {{"1", {{"sliding_window", 7}}}};
    EXPECT_THAT(error_of([&] { parse(json); }),
                HasSubstr("per_layer_config.1.sliding_window is 7"));
    for (const char* layer : {"4", "-1", "1x", ""}) {
        json["per_layer_config"] = {{layer, full}};
        EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("names a layer")) << layer;
    }
}

TEST(HeadSizes, HeadsThatDoNotDivideAreRefused) {
    EXPECT_THAT(error_with("global_head_dim", 15), HasSubstr("15"));
    EXPECT_THAT(error_with("num_global_key_value_heads", 4), HasSubstr("not a multiple"));
}

TEST(SharedKeys, AreThoseOfTheLastLayerOfTheKind) {
    Json json = two_kinds();
    json["num_kv_shared_layers"] = 2;
    const ModelConfig config = parse(json);
    EXPECT_EQ(config.layers[2].attention.keys_from, 0);
    EXPECT_EQ(config.layers[3].attention.keys_from, 1);
    for (const std::size_t l : {0, 1, 2, 3}) {
        const LayerConfig& layer = config.layers[l];
        EXPECT_EQ(layer.attention.lends_keys, l < 2);
        EXPECT_EQ(layer.find(TensorRole::key) != nullptr, l < 2);
        EXPECT_EQ(layer.find(TensorRole::key_norm) != nullptr, l < 2);
        EXPECT_NE(layer.find(TensorRole::query_norm), nullptr);
        EXPECT_EQ(layer.mlp.width, l < 2 ? 104 : 208);
    }
    EXPECT_TRUE(is_unused(config, "model.layers.3.self_attn.v_proj.weight"));
    EXPECT_FALSE(is_unused(config, "model.layers.1.self_attn.k_proj.weight"));
    json["num_kv_shared_layers"] = 3;
    EXPECT_THAT(error_of([&] { parse(json); }),
                AllOf(HasSubstr("num_kv_shared_layers is 3"), HasSubstr("layer 1")));
}

TEST(HeadSizes, WhatOtherProgramsReadInAnotherWayIsRefused) {
    EXPECT_THAT(error_with("layer_types", Json::array({"full_attention", "full_attention",
                                                       "full_attention", "sliding_attention"})),
                HasSubstr("the last layer has a window"));
    EXPECT_THAT(error_with("vocab_size_per_layer_input", 299), HasSubstr("299"));
    EXPECT_THAT(error_with("rope_theta", 77.0), HasSubstr("rope_theta is 77.0 but"));
    EXPECT_THAT(error_with("use_bidirectional_attention", "all"), HasSubstr("\"all\""));
    Json rope = two_kinds()["rope_parameters"];
    rope["sliding_attention"]["partial_rotary_factor"] = 0.5;
    EXPECT_THAT(error_with("rope_parameters", rope),
                HasSubstr("sliding_attention.partial_rotary_factor is 0.5"));
    rope = two_kinds()["rope_parameters"];
    rope["sliding_attention"].erase("rope_theta");
    EXPECT_THAT(error_with("rope_parameters", rope),
                HasSubstr("sliding_attention.rope_theta is missing"));
    rope.erase("sliding_attention");
    EXPECT_THAT(error_with("rope_parameters", rope), HasSubstr("sliding_attention is missing"));
}

TEST(HeadSizes, GgufMetadataSaysThemInListsAndByTensors) {
    Json json = two_kinds();
    json["enable_moe_block"] = false;
    json["num_kv_shared_layers"] = 2;
    for (const char* key : {"num_experts", "top_k_experts", "moe_intermediate_size"})
        json[key] = nullptr;
    const auto u32s = [](std::initializer_list<std::uint32_t> values) {
        std::string bytes = raw(static_cast<std::uint32_t>(GgufType::u32)) +
                            raw(static_cast<std::uint64_t>(values.size()));
        for (const std::uint32_t value : values) bytes += raw(value);
        return bytes;
    };
    GgufBuilder gguf;
    gguf.set("general.architecture", "gemma4").set("gemma4.block_count", 4u);
    gguf.set("gemma4.context_length", 512u).set("gemma4.embedding_length", 72u);
    gguf.pair("gemma4.feed_forward_length", GgufType::array, u32s({104, 104, 208, 208}));
    gguf.pair("gemma4.attention.head_count_kv", GgufType::array, u32s({2, 1, 2, 1}));
    gguf.pair("gemma4.attention.sliding_window_pattern", GgufType::array, u32s({1, 0, 1, 0}));
    gguf.set("gemma4.attention.head_count", 6u).set("gemma4.rope.freq_base", 5000.0F);
    gguf.set("gemma4.rope.freq_base_swa", 100.0F).set("gemma4.attention.sliding_window", 24u);
    gguf.set("gemma4.attention.layer_norm_rms_epsilon", 1e-5F);
    gguf.set("gemma4.attention.key_length", 16u).set("gemma4.attention.value_length", 16u);
    gguf.set("gemma4.attention.key_length_swa", 12u).set("gemma4.attention.value_length_swa", 12u);
    gguf.set("gemma4.rope.dimension_count", 16u).set("gemma4.rope.dimension_count_swa", 12u);
    gguf.set("gemma4.attention.shared_kv_layers", 2u);
    gguf.set("gemma4.embedding_length_per_layer_input", 8u);
    gguf.set("gemma4.final_logit_softcapping", 6.0F);
    gguf.set("tokenizer.ggml.bos_token_id", 1u).set("tokenizer.ggml.eos_token_id", 2u);
    const auto zeros = [](std::size_t count) { return std::string(4 * count, '\0'); };
    gguf.tensor("token_embd.weight", {72, 300}, 0, zeros(72 * 300));
    gguf.tensor("blk.0.attn_k.weight", {72, 24}, 0, zeros(72 * 24));
    gguf.tensor("blk.0.attn_v.weight", {72, 24}, 0, zeros(72 * 24));
    gguf.tensor("blk.1.attn_k.weight", {72, 16}, 0, zeros(72 * 16));
    gguf.tensor("rope_freqs.weight", {8}, 0,
                raw_floats({1, 1, 1e30F, 1e30F, 1e30F, 1e30F, 1e30F, 1e30F}));
    const TempFolder folder;
    const std::string path = folder / "model.gguf";
    write_bytes(path, gguf.bytes());
    ModelConfig config = gguf_model_config(GgufFile(path));
    ModelConfig expected = parse(json);
    config.norm_eps = expected.norm_eps;  // fp32 in the file
    EXPECT_EQ(summary(config), summary(expected));
    gguf.set("gemma4.rope.scaling.factor", 8.0F);
    write_bytes(path, gguf.bytes());
    EXPECT_THAT(error_of([&] { gguf_model_config(GgufFile(path)); }),
                HasSubstr("scaled positions"));
}

}  // namespace
}  // namespace vq::test
