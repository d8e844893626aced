// SPDX-License-Identifier: Apache-2.0
#include "io/families/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Json base_config() {
    return Json::parse(TinyModel().config_json());
}

ModelConfig parse(const Json& json) {
    return parse_hf_config(json.dump(), "config.json");
}

/// Names of the last block's layers that have a bias.
std::string biased(const ModelConfig& config) {
    std::string names;
    for (const ModelTensor& tensor : config.layers.back().tensors)
        if (tensor.bias) names += tensor.name.substr(tensor.name.rfind('.') + 1) + " ";
    return names;
}

/// The error of the base configuration with one key set.
std::string error_with(const std::string& key, const Json& value) {
    Json json = base_config();
    json[key] = value;
    return error_of([&] { parse(json); });
}

TEST(ModelConfig, ReadsALlamaConfiguration) {
    Json json = base_config();
    json["head_dim"] = 24;
    json["rope_theta"] = 500000;
    const ModelConfig config = parse(json);
    EXPECT_EQ(config.architecture, "llama");
    EXPECT_EQ(config.vocab_size, 12);
    EXPECT_EQ(config.hidden_size, 32);
    ASSERT_EQ(config.n_layers(), 2);
    for (const LayerConfig& layer : config.layers) {
        EXPECT_EQ(layer.mlp.width, 64);
        EXPECT_EQ(layer.attention.n_heads, 2);
        EXPECT_EQ(layer.attention.n_kv_heads, 1);
        EXPECT_EQ(layer.attention.head_dim, 24);
    }
    EXPECT_EQ(config.max_position, 64);
    EXPECT_EQ(config.norm_eps, 1e-5);
    EXPECT_EQ(config.ropes.front().theta, 500000.0);
    EXPECT_EQ(config.ropes.front().dims, 24);
    EXPECT_EQ(config.ropes.front().scaling, RopeConfig::Scaling::none);
    EXPECT_TRUE(config.tie_embeddings);
    EXPECT_EQ(biased(config), "");
    EXPECT_EQ(config.bos_ids, std::vector<std::int64_t>{1});
    EXPECT_EQ(config.eos_ids, std::vector<std::int64_t>{2});
    EXPECT_EQ(config.hf_json, json.dump()) << "kept verbatim";
}

TEST(ModelConfig, AbsentKeysMeanWhatTransformersAssumes) {
    Json json = base_config();
    for (const char* key : {"num_key_value_heads", "max_position_embeddings", "rms_norm_eps",
                            "tie_word_embeddings", "bos_token_id", "eos_token_id", "hidden_act"})
        json.erase(key);
    ModelConfig config = parse(json);
    EXPECT_EQ(config.layers[1].attention.n_kv_heads, config.layers[1].attention.n_heads);
    EXPECT_EQ(config.layers[1].attention.head_dim, 16);
    EXPECT_EQ(config.max_position, 2048);
    EXPECT_EQ(config.norm_eps, 1e-6);
    EXPECT_EQ(config.ropes.front().theta, 10000.0);
    EXPECT_FALSE(config.tie_embeddings);
    EXPECT_EQ(config.bos_ids, std::vector<std::int64_t>{1});
    json["bos_token_id"] = nullptr;
    json["model_type"] = "qwen2";
    config = parse(json);
    EXPECT_TRUE(config.bos_ids.empty());
    EXPECT_TRUE(config.eos_ids.empty());
    EXPECT_EQ(config.max_position, 32768);
}

TEST(ModelConfig, BothSpellingsOfRopeAreRead) {
    const Json llama3 = {{"rope_type", "llama3"},
                         {"factor", 32.0},
                         {"low_freq_factor", 1.0},
                         {"high_freq_factor", 4.0},
                         {"original_max_position_embeddings", 8192}};
    Json old_form = base_config();
    old_form["rope_theta"] = 500000.0;
    old_form["rope_scaling"] = llama3;
    Json new_form = base_config();
    new_form["rope_parameters"] = llama3;
    new_form["rope_parameters"]["rope_theta"] = 500000.0;
    for (const Json& json : {old_form, new_form}) {
        const ModelConfig config = parse(json);
        EXPECT_EQ(config.ropes.front().theta, 500000.0);
        EXPECT_EQ(config.ropes.front().scaling, RopeConfig::Scaling::llama3);
        EXPECT_EQ(config.ropes.front().factor, 32.0);
        EXPECT_EQ(config.ropes.front().low_freq_factor, 1.0);
        EXPECT_EQ(config.ropes.front().high_freq_factor, 4.0);
        EXPECT_EQ(config.ropes.front().original_max_position, 8192);
    }
    Json linear = base_config();
    linear["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
    EXPECT_EQ(parse(linear).ropes.front().scaling, RopeConfig::Scaling::linear);
    EXPECT_EQ(parse(linear).ropes.front().factor, 2.0);
    Json plain = base_config();
    plain["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7.0}};
    EXPECT_EQ(parse(plain).ropes.front().scaling, RopeConfig::Scaling::none);
    EXPECT_EQ(parse(plain).ropes.front().theta, 7.0);
}

TEST(ModelConfig, DynamicPositionsReachAsFarAsTheirFactor) {
    Json json = base_config();
    json["rope_scaling"] = {{"type", "dynamic"}, {"factor", 2.5}};
    const ModelConfig config = parse(json);
    EXPECT_EQ(config.max_position, 160);
    EXPECT_EQ(config.ropes.front().max_position, 64) << "what frequencies are reckoned from";
}

TEST(ModelConfig, RopeScalingReplacesRopeParametersWhole) {
    Json json = base_config();
    json["rope_theta"] = 7000.0;
    json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 2.0}};
    json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 3000.0}};
    EXPECT_EQ(parse(json).ropes.front().scaling, RopeConfig::Scaling::linear);
    EXPECT_EQ(parse(json).ropes.front().theta, 7000.0);
    json["rope_scaling"]["rope_theta"] = 5000.0;
    EXPECT_EQ(parse(json).ropes.front().theta, 5000.0);
    for (const Json& nothing : {Json(nullptr), Json::object()}) {
        json["rope_scaling"] = nothing;
        EXPECT_EQ(parse(json).ropes.front().scaling, RopeConfig::Scaling::none);
        EXPECT_EQ(parse(json).ropes.front().theta, 3000.0);
    }
}

TEST(ModelConfig, OriginalContextMayStandInTwoPlacesIfTheyAgree) {
    Json json = base_config();
    json["rope_scaling"] = {
        {"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}};
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("original_max_position_embeddings"));
    json["original_max_position_embeddings"] = 64;
    EXPECT_EQ(parse(json).ropes.front().original_max_position, 64);
    json["rope_scaling"]["original_max_position_embeddings"] = 64;
    EXPECT_EQ(parse(json).ropes.front().original_max_position, 64);
    json["original_max_position_embeddings"] = 16;
    EXPECT_THAT(error_of([&] { parse(json); }), AllOf(HasSubstr(" is 64"), HasSubstr(" is 16")));
}

TEST(ModelConfig, UnsupportedRopeIsRefused) {
    EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "spiral"}, {"factor", 4}}),
                HasSubstr("spiral"));
    EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "yarn"}}),
                HasSubstr("factor is missing"));
    EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "longrope"}, {"short_factor", {1, 2}}}),
                HasSubstr("short_factor is not a list of 8 factors"));
    EXPECT_THAT(error_with("rope_scaling", {{"type", "linear"}}), HasSubstr("factor is missing"));
    EXPECT_THAT(error_with("rope_scaling", {{"factor", 4}}), HasSubstr("rope_type"));
    EXPECT_THAT(error_with("rope_scaling", 7), HasSubstr("not an object"));
    EXPECT_THAT(error_with("rope_theta", -1), HasSubstr("rope_theta is -1"));
    EXPECT_THAT(error_with("partial_rotary_factor", 0.01), HasSubstr("0 of a head's 16"));
    EXPECT_THAT(error_with("rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}),
                HasSubstr("rope_type"));
    EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "llama3"},
                                            {"factor", 8},
                                            {"low_freq_factor", 4},
                                            {"high_freq_factor", 1},
                                            {"original_max_position_embeddings", 8192}}),
                HasSubstr("high_freq_factor"));
}

TEST(ModelConfig, BiasesFollowTheArchitecture) {
    Json json = base_config();
    json["attention_bias"] = true;
    EXPECT_EQ(biased(parse(json)), "q_proj k_proj v_proj o_proj ");
    json["mlp_bias"] = true;
    EXPECT_EQ(biased(parse(json)), "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj ");
    json.erase("mlp_bias");
    json["model_type"] = "qwen2";
    json["attention_bias"] = false;
    EXPECT_EQ(biased(parse(json)), "q_proj k_proj v_proj ") << "always so in qwen2";
}

TEST(ModelConfig, EndTokensMayBeAList) {
    Json json = base_config();
    json["eos_token_id"] = {3, 4};
    EXPECT_EQ(parse(json).eos_ids, (std::vector<std::int64_t>{3, 4}));
    json["eos_token_id"] = nullptr;
    EXPECT_TRUE(parse(json).eos_ids.empty());
    json["eos_token_id"] = {3, 12};
    EXPECT_EQ(parse(json).eos_ids, std::vector<std::int64_t>{3}) << "a pruned vocabulary";
    ASSERT_EQ(parse(json).notes.size(), 1U);
    EXPECT_THAT(parse(json).notes.front(), AllOf(HasSubstr("eos_token_id is 12"), HasSubstr("11")));
    EXPECT_THAT(error_with("eos_token_id", -2), HasSubstr("eos_token_id is -2"));
    EXPECT_THAT(error_with("eos_token_id", "2"), HasSubstr("eos_token_id"));
    EXPECT_THAT(error_with("bos_token_id", Json::array({1, 2.5})), HasSubstr("2.5"));
}

TEST(ModelConfig, UnknownArchitecturesAreNamedWithTheSupportedOnes) {
    EXPECT_THAT(error_with("model_type", "mamba"),
                AllOf(HasSubstr("\"mamba\""), HasSubstr("llama"), HasSubstr("qwen2"),
                      HasSubstr("config.json")));
    Json json = base_config();
    json.erase("model_type");
    EXPECT_EQ(parse(json).architecture, "llama") << "the class name says it too";
    json["architectures"] = {"GPT2LMHeadModel"};
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("GPT2LMHeadModel"));
    json.erase("architectures");
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("model_type is missing"));
}

TEST(ModelConfig, WhatTheRuntimeDoesNotKnowIsRefused) {
    EXPECT_THAT(error_with("hidden_act", "xielu"), HasSubstr("xielu"));
    EXPECT_THAT(error_with("quantization_config", Json::object()), HasSubstr("quantized already"));
    Json json = base_config();
    json["model_type"] = "qwen2";
    json["sliding_window"] = 4096;
    json["use_sliding_window"] = false;
    EXPECT_EQ(parse(json).architecture, "qwen2") << "a window that is not used is none";
    json["layer_types"] = {"full_attention", "sliding_attention"};
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("sliding_attention"));
    json["layer_types"] = {"full_attention"};
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("not a list of 2 layers"));
}

TEST(ModelConfig, AbsurdNumbersAreRefusedWithTheirValue) {
    for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                            "num_attention_heads", "num_key_value_heads", "head_dim"}) {
        for (const Json& bad :
             {Json(0), Json(-1), Json(1e9), Json(18446744073709551615ull),
              Json(9223372036854775807), Json("32"), Json(2.5), Json::array(), Json(true)})
            EXPECT_THAT(error_with(key, bad), HasSubstr(std::string(key) + " is " + bad.dump()))
                << key;
        Json json = base_config();
        json.erase(key);
        if (std::string(key) == "num_key_value_heads" || std::string(key) == "head_dim") continue;
        EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr(std::string(key) + " is missing"));
    }
    EXPECT_THAT(error_with("num_key_value_heads", 3), HasSubstr("multiple"));
    EXPECT_THAT(error_with("head_dim", 15), HasSubstr("odd"));
    EXPECT_THAT(error_with("rms_norm_eps", 0), HasSubstr("rms_norm_eps is 0"));
    EXPECT_THAT(error_with("rms_norm_eps", 5), HasSubstr("rms_norm_eps"));
    EXPECT_THAT(error_with("tie_word_embeddings", 1), HasSubstr("not true or false"));
}

TEST(ModelConfig, WhatIsNotAnObjectIsRefused) {
    for (const char* bad : {"", "[]", "{", "null", "7", "{\"a\":}", "\xFF\xFE"})
        EXPECT_THAT(error_of([&] { parse_hf_config(bad, "here"); }), HasSubstr("here")) << bad;
    EXPECT_THAT(error_of([&] { parse_hf_config(std::string(200000, '['), "here"); }),
                HasSubstr("here"));
}

}  // namespace
}  // namespace vq::test
