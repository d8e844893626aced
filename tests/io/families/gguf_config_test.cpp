// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/json.h"
#include "io/families/gguf_metadata.h"
#include "io/families/gguf_tensors.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
    void expect_equal(const LayerConfig& a, const LayerConfig& b) {
        EXPECT_EQ(a.mlp.width, b.mlp.width);
        EXPECT_EQ(a.attention.n_heads, b.attention.n_heads);
        EXPECT_EQ(a.attention.n_kv_heads, b.attention.n_kv_heads);
        EXPECT_EQ(a.attention.head_dim, b.attention.head_dim);
        ASSERT_EQ(a.tensors.size(), b.tensors.size());
        for (std::size_t i = 0; i < a.tensors.size(); ++i) {
            EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
            EXPECT_EQ(a.tensors[i].bias, b.tensors[i].bias);
        }
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
        ASSERT_EQ(config.n_layers(), expected.n_layers());
        for (std::size_t l = 0; l < config.layers.size(); ++l)
            expect_equal(config.layers[l], expected.layers[l]);
        EXPECT_EQ(config.max_position, expected.max_position);
        EXPECT_EQ(config.norm_eps, expected.norm_eps);
        EXPECT_EQ(config.ropes.front().theta, expected.ropes.front().theta);
        EXPECT_EQ(config.tie_embeddings, expected.tie_embeddings);
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
    EXPECT_EQ(config.ropes.front().scaling, RopeConfig::Scaling::llama3);
    EXPECT_EQ(config.ropes.front().factor, 8.0);
    EXPECT_EQ(config.ropes.front().low_freq_factor, 1.0);
    EXPECT_EQ(config.ropes.front().high_freq_factor, 4.0);
    EXPECT_EQ(config.ropes.front().original_max_position, 1024);
    factors[5] *= 1.01F;
    const RopeConfig other = config_of(with_factors(factors)).ropes.front();
    EXPECT_EQ(other.scaling, RopeConfig::Scaling::none);
    EXPECT_EQ(other.attention_factor, 1.0);
    EXPECT_EQ(other.divisors, std::vector<double>(factors.begin(), factors.end()))
        << "any factors can be used as they stand";
    EXPECT_EQ(config_of(with_factors(std::vector<float>(8, 1.0F))).ropes.front().scaling,
              RopeConfig::Scaling::none);
    EXPECT_THAT(error_of([&] {
                    config_of(with_factors({1.0F, 2.0F}));
                }),
                HasSubstr("2 factors for 8 pairs"));
    EXPECT_THAT(error_of([&] { config_of(with_factors(std::vector<float>(8, NAN))); }),
                HasSubstr("rope_freqs.weight"));
}

TEST_F(GgufConfig, LinearScalingIsKept) {
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.set("llama.rope.scaling.type", "linear").set("llama.rope.scaling.factor", 4.0F);
    EXPECT_EQ(config_of(gguf).ropes.front().scaling, RopeConfig::Scaling::linear);
    EXPECT_EQ(config_of(gguf).ropes.front().factor, 4.0);
    gguf = tiny_gguf(TinyModel());
    gguf.set("llama.rope.scaling.type", "yarn").set("llama.rope.scaling.factor", 4.0F);
    gguf.set("llama.rope.scaling.original_context_length", 16u);
    EXPECT_EQ(config_of(gguf).ropes.front().scaling, RopeConfig::Scaling::yarn);
    EXPECT_EQ(config_of(gguf).ropes.front().original_max_position, 16);
    gguf = tiny_gguf(TinyModel());
    gguf.set("llama.rope.scaling.type", "spiral");
    EXPECT_THAT(error_of([&] { config_of(gguf); }), HasSubstr("spiral"));
}

TEST_F(GgufConfig, WhatTheRuntimeDoesNotKnowIsRefused) {
    EXPECT_THAT(error_with("llama.attention.value_length", 8), HasSubstr("value_length"));
    EXPECT_THAT(error_with("split.count", 3), HasSubstr("split"));
    GgufBuilder gguf;
    gguf.set("general.architecture", "mamba");
    EXPECT_THAT(error_of([&] { config_of(gguf); }),
                AllOf(HasSubstr("\"mamba\""), HasSubstr("llama"), HasSubstr("qwen2")));
    gguf = GgufBuilder();
    gguf.set("general.architecture", "llama");
    EXPECT_THAT(error_of([&] { config_of(gguf); }), HasSubstr("llama.block_count"));
    EXPECT_THAT(error_of([&] { config_of(GgufBuilder()); }), HasSubstr("general.architecture"));
}

TEST_F(GgufConfig, AFactorAloneMeansLinearScaling) {
    for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
        GgufBuilder gguf = tiny_gguf(TinyModel());
        gguf.set(key, 2.0F);
        EXPECT_EQ(config_of(gguf).ropes.front().scaling, RopeConfig::Scaling::linear);
        gguf.set("llama.rope.scaling.type", "none");
        EXPECT_EQ(config_of(gguf).ropes.front().scaling, RopeConfig::Scaling::none);
    }
}

TEST_F(GgufConfig, KeysOfTheArchitectureThatAreNotKnownAreRefusedWithTheirValue) {
    EXPECT_THAT(error_with("llama.attention.blocks", 4096),
                AllOf(HasSubstr("llama.attention.blocks is 4096"), HasSubstr(path_)));
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.set("llama.logit_scale", 0.5F);
    EXPECT_THAT(error_of([&] { config_of(gguf); }), HasSubstr("llama.logit_scale is 0.5"));
    gguf = tiny_gguf(TinyModel());
    gguf.set("llama.pooling", "cls");
    EXPECT_THAT(error_of([&] { config_of(gguf); }), HasSubstr("llama.pooling is \"cls\""));
    gguf = tiny_gguf(TinyModel());
    gguf.set("llama.tensor_data_layout", "as it comes").set("general.name", "x");
    gguf.set("qwen2.attention.sliding_window", 7u);
    EXPECT_EQ(config_of(gguf).n_layers(), 2) << "notes, and keys of no or another architecture";
}

TEST_F(GgufConfig, ValuesThatTheRuntimeDoesNotFollowAreRefusedByName) {
    const auto error_of_file = [&](auto&& change) {
        GgufBuilder gguf = tiny_gguf(TinyModel());
        change(gguf);
        return error_of([&] { config_of(gguf); });
    };
    const auto refused = [&](const std::string& key, auto value) {
        EXPECT_THAT(error_of_file([&](GgufBuilder& gguf) { gguf.set(key, value); }),
                    HasSubstr(key));
    };
    refused("llama.attention.causal", false);
    refused("llama.attention.max_alibi_bias", 8.0F);
    refused("llama.attention.temperature_scale", 0.1F);
    refused("llama.attention.recurrent_layers", std::vector<std::int32_t>{0, 1});
    refused("llama.attention.recurrent_layers", std::vector<std::int32_t>{0});
    refused("llama.expert_group_count", 2u);
    GgufBuilder usual = tiny_gguf(TinyModel());
    usual.set("llama.attention.causal", true).set("llama.attention.sliding_window", 8u);
    usual.set("llama.rope.freq_base_swa", 10000.0F);
    usual.set("llama.attention.recurrent_layers", std::vector<std::int32_t>{0, 0});
    usual.set("llama.expert_group_count", 1u).set("llama.expert_group_used_count", 1u);
    EXPECT_NO_THROW(config_of(usual));
    usual.set("llama.rope.freq_base_swa", 500.0F);
    EXPECT_THAT(error_of([&] { config_of(usual); }), HasSubstr("rope.freq_base_swa"));
    EXPECT_THAT(
        error_of_file([](GgufBuilder& gguf) {
            gguf.set("llama.rope.dimension_count", 16u).set("llama.rope.dimension_count_swa", 8u);
        }),
        HasSubstr("rope.dimension_count_swa"));
    EXPECT_THAT(error_of_file([](GgufBuilder& gguf) {
                    gguf.set("llama.rope.scaling.type", "linear")
                        .set("llama.rope.scaling.factor", 2.0F)
                        .set("llama.rope.scaling.attn_factor", 1.5F);
                }),
                HasSubstr("factor of attention"));
    EXPECT_THAT(error_of_file([](GgufBuilder& gguf) {
                    gguf.tensor("rope_factors_short.weight", {8}, 0,
                                raw_floats(std::vector<float>(8, 1.0F)));
                }),
                HasSubstr("without the other"));
    // A list of windows that is not what the family comes to: here there are none.
    EXPECT_THAT(
        error_of_file([](GgufBuilder& gguf) {
            gguf.set("llama.attention.sliding_window_pattern", std::vector<std::int32_t>{1, 0});
        }),
        AllOf(HasSubstr("sliding_window_pattern"), HasSubstr("layer 0")));
}

TEST_F(GgufConfig, WindowsAndExpertsSayWhichFamilyItIs) {
    GgufBuilder gguf = tiny_gguf(TinyModel());
    gguf.set("llama.attention.sliding_window", 8u);
    EXPECT_EQ(config_of(gguf).architecture, "mistral");
    EXPECT_EQ(config_of(gguf).layers[1].attention.window, 8);
    gguf = tiny_gguf(TinyModel());
    gguf.set("llama.expert_count", 4u).set("llama.expert_used_count", 2u);
    const ModelConfig mixture = config_of(gguf);
    EXPECT_EQ(mixture.architecture, "mixtral");
    EXPECT_EQ(mixture.layers[1].mixture.n_experts, 4);
    EXPECT_EQ(mixture.layers[1].mixture.n_active, 2);
}

TEST_F(GgufConfig, AFileThatDoesNotSayHowExpertsAreWeighedIsOfTheSoftmaxFamily) {
    const auto model_type = [&](std::optional<std::uint32_t> gating, bool biased = false) {
        GgufBuilder gguf;
        gguf.set("general.architecture", "deepseek2").set("deepseek2.expert_count", 8u);
        if (gating) gguf.set("deepseek2.expert_gating_func", *gating);
        if (biased)
            gguf.tensor("blk.1.exp_probs_b.bias", {8}, 0, raw_floats(std::vector<float>(8)));
        write_bytes(path_, gguf.bytes());
        return std::string(gguf_family(GgufFile(path_), families()).model_type);
    };
    EXPECT_EQ(model_type({}), "deepseek_v2");
    EXPECT_EQ(model_type({}, true), "deepseek_v3");
    EXPECT_EQ(model_type(1), "deepseek_v2");
    EXPECT_EQ(model_type(2), "deepseek_v3");
}

TEST_F(GgufConfig, SizesOfStateSpacesThatNoBlockHasAreHarmless) {
    TinyModel model;
    model.architecture = "granite";
    GgufBuilder gguf = tiny_gguf(model);
    gguf.set("granite.ssm.conv_kernel", 4u).set("granite.ssm.state_size", 256u);
    gguf.set("granite.ssm.group_count", 1u).set("granite.ssm.time_step_rank", 8u);
    gguf.set("granite.ssm.inner_size", 144u);
    EXPECT_EQ(config_of(gguf).architecture, "granite");
    EXPECT_THAT(error_with("llama.ssm.conv_kernel", 4u), HasSubstr("llama.ssm.conv_kernel is 4"));
}

TEST_F(GgufConfig, TheEpsilonOfAnotherKindOfNormIsHarmlessWhereConvertersWriteBoth) {
    GgufBuilder gguf;
    gguf.set("general.architecture", "nemotron").set("nemotron.block_count", 1u);
    gguf.set("nemotron.attention.layer_norm_epsilon", 1e-5F);
    gguf.set("nemotron.attention.layer_norm_rms_epsilon", 1e-5F);
    write_bytes(path_, gguf.bytes());
    const GgufFile file(path_);
    EXPECT_NO_THROW(GgufMetadata(file, gguf_family(file, families())));
}

TEST_F(GgufConfig, WhatAFileCannotSayIsANote) {
    TinyModel model;
    EXPECT_TRUE(config_of(tiny_gguf(model)).notes.empty());
    GgufBuilder gguf = tiny_gguf(model);
    gguf.set("general.name", "Mistral 7B");
    ASSERT_EQ(config_of(gguf).notes.size(), 1U);
    EXPECT_THAT(config_of(gguf).notes.front(), HasSubstr("windows"));
    model.architecture = "qwen2";
    model.biased = true;
    EXPECT_EQ(config_of(tiny_gguf(model)).notes.size(), 1U);
}

/// By HF name.
std::map<std::string, GgufSource> sources_of(const ModelConfig& config) {
    std::map<std::string, GgufSource> all;
    for (GgufSource& source : gguf_sources(config, [](const auto&) { return true; })) {
        const std::string name = source.name;
        all[name] = std::move(source);
    }
    return all;
}

TEST_F(GgufConfig, NamesAreThoseOfHf) {
    TinyModel model;
    model.biased = true;
    auto names = sources_of(parse_hf_config(model.config_json(), "config.json"));
    const std::string q = "model.layers.1.self_attn.q_proj";
    EXPECT_THAT(names.at(q + ".bias").tensors, ElementsAre("blk.1.attn_q.bias"));
    EXPECT_EQ(names.at(q + ".bias").rows[1], 2) << "pairs stand side by side";
    EXPECT_EQ(names.at(q + ".weight").rows[8], 1);
    EXPECT_TRUE(names.at("model.layers.0.self_attn.v_proj.weight").rows.empty());
    for (const TinyModel::Entry& entry : model.tensors())
        EXPECT_THAT(names.at(entry.name).tensors, ElementsAre(gguf_name(entry.name)));
    model.architecture = "qwen2";
    names = sources_of(parse_hf_config(model.config_json(), "config.json"));
    EXPECT_TRUE(names.at(q + ".weight").rows.empty());
}

TEST_F(GgufConfig, ValueHeadsOfDeltaNetsStandTiled) {
    const Json all = Json::parse(read_bytes(VQKIT_TEST_DATA "/families/data/configs.json"));
    // Two key heads with two value heads each: grouped 0 1 | 2 3, tiled 0 2 | 1 3.
    const auto names = sources_of(parse_hf_config(all["qwen3_5_text"].dump(), "config.json"));
    const std::string layer = "model.layers.0.linear_attn.";
    EXPECT_THAT(names.at(layer + "A_log").rows, ElementsAre(0, 2, 1, 3));
    EXPECT_THAT(names.at(layer + "A_log").tensors, ElementsAre("blk.0.ssm_a"));
    EXPECT_EQ(names.at(layer + "out_proj.weight").cols[16], 32);
    EXPECT_EQ(names.at(layer + "in_proj_qkv.weight").rows[63], 63) << "q and k as they are";
    EXPECT_EQ(names.at(layer + "in_proj_qkv.weight").rows[64 + 16], 64 + 32);
    EXPECT_EQ(names.at("model.layers.0.input_layernorm.weight").change,
              GgufSource::Change::minus_one);
    EXPECT_EQ(names.at(layer + "norm.weight").change, GgufSource::Change::none);
}

}  // namespace
}  // namespace vq::test
