// SPDX-License-Identifier: Apache-2.0
#include "io/families/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "io/families/gguf_config.h"
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
    EXPECT_EQ(config.intermediate_size, 64);
    EXPECT_EQ(config.n_layers, 2);
    EXPECT_EQ(config.n_heads, 2);
    EXPECT_EQ(config.n_kv_heads, 1);
    EXPECT_EQ(config.head_dim, 24);
    EXPECT_EQ(config.max_position, 64);
    EXPECT_EQ(config.rms_norm_eps, 1e-5);
    EXPECT_EQ(config.rope_theta, 500000.0);
    EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::none);
    EXPECT_TRUE(config.tie_embeddings);
    EXPECT_FALSE(config.attention_bias);
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
    EXPECT_EQ(config.n_kv_heads, config.n_heads);
    EXPECT_EQ(config.head_dim, 16);
    EXPECT_EQ(config.max_position, 2048);
    EXPECT_EQ(config.rms_norm_eps, 1e-6);
    EXPECT_EQ(config.rope_theta, 10000.0);
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
        EXPECT_EQ(config.rope_theta, 500000.0);
        EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::llama3);
        EXPECT_EQ(config.rope_scaling.factor, 32.0);
        EXPECT_EQ(config.rope_scaling.low_freq_factor, 1.0);
        EXPECT_EQ(config.rope_scaling.high_freq_factor, 4.0);
        EXPECT_EQ(config.rope_scaling.original_max_position, 8192);
    }
    Json linear = base_config();
    linear["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
    EXPECT_EQ(parse(linear).rope_scaling.type, RopeScaling::Type::linear);
    EXPECT_EQ(parse(linear).rope_scaling.factor, 2.0);
    Json plain = base_config();
    plain["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7.0}};
    EXPECT_EQ(parse(plain).rope_scaling.type, RopeScaling::Type::none);
    EXPECT_EQ(parse(plain).rope_theta, 7.0);
}

TEST(ModelConfig, UnsupportedRopeIsRefused) {
    EXPECT_THAT(error_with("rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}}),
                HasSubstr("yarn"));
    EXPECT_THAT(error_with("rope_scaling", {{"type", "linear"}}), HasSubstr("factor is missing"));
    EXPECT_THAT(error_with("rope_scaling", {{"factor", 4}}), HasSubstr("rope_type"));
    EXPECT_THAT(error_with("rope_scaling", 7), HasSubstr("not an object"));
    EXPECT_THAT(error_with("rope_theta", -1), HasSubstr("rope_theta is -1"));
    EXPECT_THAT(error_with("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
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
    EXPECT_TRUE(parse(json).attention_bias);
    EXPECT_TRUE(parse(json).attention_output_bias);
    json["model_type"] = "qwen2";
    json["attention_bias"] = false;
    EXPECT_TRUE(parse(json).attention_bias) << "always so in qwen2";
    EXPECT_FALSE(parse(json).attention_output_bias);
}

TEST(ModelConfig, EndTokensMayBeAList) {
    Json json = base_config();
    json["eos_token_id"] = {3, 4};
    EXPECT_EQ(parse(json).eos_ids, (std::vector<std::int64_t>{3, 4}));
    json["eos_token_id"] = nullptr;
    EXPECT_TRUE(parse(json).eos_ids.empty());
    EXPECT_THAT(error_with("eos_token_id", 12), HasSubstr("not a token id below 12"));
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
    EXPECT_THAT(error_with("hidden_act", "gelu"), HasSubstr("gelu"));
    EXPECT_THAT(error_with("mlp_bias", true), HasSubstr("mlp_bias"));
    EXPECT_THAT(error_with("quantization_config", Json::object()), HasSubstr("quantized already"));
    Json json = base_config();
    json["model_type"] = "qwen2";
    json["sliding_window"] = 4096;
    json["use_sliding_window"] = false;
    EXPECT_EQ(parse(json).architecture, "qwen2") << "a window that is not used is none";
    json["use_sliding_window"] = true;
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("sliding-window"));
    json["use_sliding_window"] = false;
    json["layer_types"] = {"full_attention", "sliding_attention"};
    EXPECT_THAT(error_of([&] { parse(json); }), HasSubstr("sliding_attention"));
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

class GgufConfig : public ::testing::Test {
protected:
    ModelConfig config_of(const GgufBuilder& gguf) {
        write_bytes(path_, gguf.bytes());
        return gguf_model_config(GgufFile(path_));
    }
    std::string error_with(const std::string& key, std::uint32_t value) {
        GgufBuilder gguf = tiny_gguf(TinyModel());
        gguf.set(key, value);
        return error_of([&] { config_of(gguf); });
    }
    /// The file of a Llama 3 with heads of 16 and these frequency factors.
    GgufBuilder with_factors(const std::vector<float>& factors) {
        GgufBuilder gguf = tiny_gguf(TinyModel());
        gguf.tensor("rope_freqs.weight", {factors.size()}, 0, raw_floats(factors));
        return gguf;
    }
    TempFolder folder_;
    std::string path_ = folder_ / "model.gguf";
};

TEST_F(GgufConfig, MetadataBecomesAnEqualHfConfiguration) {
    for (const char* architecture : {"llama", "qwen2"}) {
        TinyModel model;
        model.architecture = architecture;
        model.biased = model.architecture == "qwen2";
        const ModelConfig config = config_of(tiny_gguf(model));
        const ModelConfig expected = parse_hf_config(model.config_json(), "config.json");
        EXPECT_EQ(config.architecture, expected.architecture);
        EXPECT_EQ(config.vocab_size, expected.vocab_size);
        EXPECT_EQ(config.hidden_size, expected.hidden_size);
        EXPECT_EQ(config.intermediate_size, expected.intermediate_size);
        EXPECT_EQ(config.n_layers, expected.n_layers);
        EXPECT_EQ(config.n_heads, expected.n_heads);
        EXPECT_EQ(config.n_kv_heads, expected.n_kv_heads);
        EXPECT_EQ(config.head_dim, expected.head_dim);
        EXPECT_EQ(config.max_position, expected.max_position);
        EXPECT_EQ(config.rms_norm_eps, expected.rms_norm_eps);
        EXPECT_EQ(config.rope_theta, expected.rope_theta);
        EXPECT_EQ(config.tie_embeddings, expected.tie_embeddings);
        EXPECT_EQ(config.attention_bias, expected.attention_bias);
        EXPECT_EQ(config.bos_ids, expected.bos_ids);
        EXPECT_EQ(config.eos_ids, expected.eos_ids);
        const Json json = Json::parse(config.hf_json);
        EXPECT_EQ(json["model_type"], architecture);
        EXPECT_EQ(json["architectures"].size(), 1u);
    }
}

TEST_F(GgufConfig, AnOutputTensorMeansUntied) {
    TinyModel model;
    model.tied = false;
    EXPECT_FALSE(config_of(tiny_gguf(model)).tie_embeddings);
}

TEST_F(GgufConfig, EndOfTurnIsAnEndTokenToo) {
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.set("tokenizer.ggml.eot_token_id", 5u);
    EXPECT_EQ(config_of(gguf).eos_ids, (std::vector<std::int64_t>{2, 5}));
}

TEST_F(GgufConfig, FrequencyFactorsOfLlama3BecomeItsScaling) {
    // Factors of the published formula for theta 10000, 8 pairs, factor 8, original context 1024.
    std::vector<float> factors;
    for (int i = 0; i < 8; ++i) {
        const double wave = 2 * 3.141592653589793 * std::pow(10000.0, i / 8.0);
        const double smooth = (1024 / wave - 1) / 3;
        factors.push_back(static_cast<float>(wave < 256    ? 1
                                             : wave > 1024 ? 8
                                                           : 1 / ((1 - smooth) / 8 + smooth)));
    }
    const ModelConfig config = config_of(with_factors(factors));
    EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::llama3);
    EXPECT_EQ(config.rope_scaling.factor, 8.0);
    EXPECT_EQ(config.rope_scaling.low_freq_factor, 1.0);
    EXPECT_EQ(config.rope_scaling.high_freq_factor, 4.0);
    EXPECT_EQ(config.rope_scaling.original_max_position, 1024);
    factors[5] *= 1.01F;
    EXPECT_THAT(error_of([&] { config_of(with_factors(factors)); }),
                HasSubstr("rope_freqs.weight"));
    EXPECT_EQ(config_of(with_factors(std::vector<float>(8, 1.0F))).rope_scaling.type,
              RopeScaling::Type::none);
    EXPECT_THAT(error_of([&] { config_of(with_factors({1.0F, 2.0F})); }), HasSubstr("2 factors"));
    EXPECT_THAT(error_of([&] { config_of(with_factors(std::vector<float>(8, NAN))); }),
                HasSubstr("rope_freqs.weight"));
}

TEST_F(GgufConfig, LinearScalingIsKept) {
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.set("llama.rope.scaling.type", "linear").set("llama.rope.scaling.factor", 4.0F);
    EXPECT_EQ(config_of(gguf).rope_scaling.type, RopeScaling::Type::linear);
    EXPECT_EQ(config_of(gguf).rope_scaling.factor, 4.0);
    gguf = tiny_gguf(TinyModel());
    gguf.set("llama.rope.scaling.type", "yarn").set("llama.rope.scaling.factor", 4.0F);
    EXPECT_THAT(error_of([&] { config_of(gguf); }), HasSubstr("yarn"));
}

TEST_F(GgufConfig, WhatTheRuntimeDoesNotKnowIsRefused) {
    EXPECT_THAT(error_with("llama.expert_count", 8), HasSubstr("mixture of experts"));
    EXPECT_THAT(error_with("llama.rope.dimension_count", 8), HasSubstr("rope.dimension_count"));
    EXPECT_THAT(error_with("llama.attention.value_length", 8), HasSubstr("value_length"));
    EXPECT_THAT(error_with("split.count", 3), HasSubstr("split"));
    GgufBuilder gguf;
    gguf.set("general.architecture", "gemma3");
    EXPECT_THAT(error_of([&] { config_of(gguf); }),
                AllOf(HasSubstr("\"gemma3\""), HasSubstr("llama"), HasSubstr("qwen2")));
    gguf = GgufBuilder();
    gguf.set("general.architecture", "llama");
    EXPECT_THAT(error_of([&] { config_of(gguf); }), HasSubstr("llama.embedding_length"));
    EXPECT_THAT(error_of([&] { config_of(GgufBuilder()); }), HasSubstr("general.architecture"));
}

TEST_F(GgufConfig, NamesAreThoseOfHf) {
    EXPECT_EQ(hf_tensor_name("blk.12.attn_q.bias"), "model.layers.12.self_attn.q_proj.bias");
    EXPECT_EQ(hf_tensor_name("token_embd.weight"), "model.embed_tokens.weight");
    EXPECT_EQ(hf_tensor_name("blk.0.ffn_gate_exps.weight"), "blk.0.ffn_gate_exps.weight");
    for (const char* odd : {"", "blk.", "blk..", "blk.1", "blk.attn_q", "weight"})
        EXPECT_EQ(hf_tensor_name(odd), odd);
}

}  // namespace
}  // namespace vq::test
