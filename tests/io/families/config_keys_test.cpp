// SPDX-License-Identifier: Apache-2.0
// Every key of config.json is read, refused with its value, or known to be harmless.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/json.h"
#include "io/families/model_config.h"
#include "tests/io/families/config_summary.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ModelConfig parse(const Json& json) {
    return parse_hf_config(json.dump(), "config.json");
}

/// Either another model, or an error that names the key and the value.
void expect_read_or_refused(const Json& base, const Json& changed, const std::string& key,
                            const Json& value) {
    try {
        EXPECT_NE(summary(parse(changed)), summary(parse(base))) << key;
    } catch (const Error& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr(key), HasSubstr(value.dump()))) << key;
    }
}

const Family& family_of(const std::string& type) {
    for (const Family& family : families())
        if (family.model_type == type) return family;
    throw Error("no such family", type, "");
}

/// The configuration of a small model of the family, in which most settings say something.
Json full_config(const Family& family) {
    static const Json all = Json::parse(read_bytes(VQKIT_TEST_DATA "/families/data/configs.json"));
    return all.at(std::string(family.model_type));
}

/// The same with Llama 3 positions, whose every key matters.
Json scaled_config(const Family& family) {
    Json json = full_config(family);
    json.erase("rope_parameters");
    json["rope_theta"] = 10000.0;
    json["original_max_position_embeddings"] = 64;
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0}};
    return json;
}

/// What the model comes to, or the error that refuses it.
std::string outcome(const Json& json) {
    try {
        return summary(parse(json));
    } catch (const Error& e) {
        return std::string("refused: ") + e.what();
    }
}

/// The other model, or an error that names the key; false where nothing changes.
bool is_read_or_refused(const Json& base, const std::string& key, const Json& value) {
    Json changed = base;
    changed[key] = value;
    const std::string before = outcome(base);
    const std::string after = outcome(changed);
    if (before.starts_with("refused: ") || before == after) return false;
    return !after.starts_with("refused: ") || after.find(key) != std::string::npos;
}

/// Values that a setting could have instead of this one.
std::vector<Json> other_values(const Json& value) {
    if (value.is_boolean()) return {!value.get<bool>()};
    if (value.is_number_integer())
        return {value.get<std::int64_t>() + 1, value.get<std::int64_t>() * 2, 1};
    if (value.is_number()) return {value.get<double>() * 1.5, value.get<double>() / 2, 1.0};
    if (value.is_string()) return {"gelu", "nope", "other"};
    if (value.is_object()) {
        Json other = value;
        other["rope_theta"] = 321.0;
        return {other, {{"rope_type", "linear"}, {"factor", 3.0}}};
    }
    if (!value.is_array()) return {Json(7), Json(0.25), Json(true), Json("other")};
    Json other = value;
    for (Json& entry : other) {
        if (entry.is_number()) entry = entry == 1 ? 0 : 1;
        if (entry == "full_attention") entry = "sliding_attention";
        if (entry == "dense") entry = "sparse";
    }
    Json all_full = value;
    for (Json& entry : all_full) entry = "full_attention";
    return {other, all_full, Json::array({0}), Json::array({2, 5})};
}

/// Configurations in which a key may matter that others overrule in full_config().
std::vector<Json> bases(const Family& family) {
    Json listless = full_config(family);
    for (const char* key : {"layer_types", "no_rope_layers", "moe_layers", "mlp_layer_types"})
        listless.erase(key);
    Json windowed = listless;
    windowed["use_sliding_window"] = true;
    windowed["sliding_window"] = 16;
    windowed["max_window_layers"] = 1;
    Json old = listless;
    old["rope_theta"] = 10000.0;
    old.erase("rope_parameters");
    Json adjusted = full_config(family);
    adjusted["block_auto_adjust_ff_dim"] = true;
    adjusted["intermediate_size"] = 600;
    Json sparse = listless;
    sparse["full_attn_idxs"] = {1, 3};
    Json shared = full_config(family);
    for (const char* key : {"partial_rotary_factor", "num_key_value_heads", "qk_head_dim"})
        shared.erase(key);
    Json grouped = full_config(family);
    grouped["n_group"] = 4;
    grouped["topk_group"] = 2;
    Json dense = listless;
    dense["mlp_only_layers"] = {0};
    shared["rope_parameters"].erase("partial_rotary_factor");
    std::vector<Json> all = {full_config(family), listless, old, shared};
    if (find_key(family, Setting::use_window) != nullptr) all.push_back(windowed);
    if (find_key(family, Setting::adjust_width) != nullptr) all.push_back(adjusted);
    if (find_key(family, Setting::attention_layers) != nullptr) all.push_back(sparse);
    if (find_key(family, Setting::expert_groups) != nullptr) all.push_back(grouped);
    if (find_key(family, Setting::dense_layers) != nullptr) all.push_back(dense);
    all.push_back(scaled_config(family));
    return all;
}

TEST(ConfigKeys, EveryKeyThatARowUnderstandsIsReadOrRefused) {
    for (const Family& family : families()) {
        SCOPED_TRACE(std::string(family.model_type));
        ASSERT_FALSE(outcome(full_config(family)).starts_with("refused: "))
            << outcome(full_config(family));
        for (const ConfigKey& key : family.keys) {
            bool counts = false;
            for (const Json& base : bases(family)) {
                Json value = base.value(key.hf, Json());
                if (value.is_null() && key.fallback != nullptr) value = Json::parse(key.fallback);
                std::vector<Json> others = other_values(value);
                if (key.setting == Setting::layer_types || key.setting == Setting::dense_layers)
                    others.push_back(Json::array({1}));
                if (key.setting == Setting::rope_scaling || key.setting == Setting::rope_parameters)
                    others = other_values(Json::object());
                for (const Json& other : others)
                    counts = counts || is_read_or_refused(base, key.hf, other);
            }
            EXPECT_TRUE(counts) << key.hf << " changes nothing, whatever it says";
        }
    }
}

TEST(ConfigKeys, EveryKeyOfRopeScalingIsReadOrRefused) {
    const std::map<std::string, Json> others = {{"rope_type", "linear"},
                                                {"type", "linear"},
                                                {"rope_theta", 500.0},
                                                {"factor", 4.0},
                                                {"low_freq_factor", 2.0},
                                                {"high_freq_factor", 5.0},
                                                {"original_max_position_embeddings", 32},
                                                {"partial_rotary_factor", 0.5},
                                                {"mrope_section", Json::array({2, 3, 3})}};
    for (const char* type : {"llama", "qwen2", "granite"})
        for (const auto& [key, value] : others) {
            Json base = scaled_config(family_of(type));
            base.erase("original_max_position_embeddings");
            base["rope_scaling"]["original_max_position_embeddings"] = 64;
            if (key == "type") {
                base["rope_scaling"].erase("rope_type");
                base["rope_scaling"]["type"] = "llama3";
            }
            Json changed = base;
            changed["rope_scaling"][key] = value;
            expect_read_or_refused(base, changed, key, value);
            base["rope_scaling"]["finetuned"] = true;
            EXPECT_EQ(parse(base).ropes.front().factor, 8.0) << "a note changes nothing";
        }
    Json yarn = scaled_config(family_of("llama"));
    yarn["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 8.0}};
    for (const auto& [key, value] : std::map<std::string, Json>{
             {"beta_fast", 16}, {"beta_slow", 2}, {"truncate", false}, {"attention_factor", 1.5}}) {
        Json changed = yarn;
        changed["rope_scaling"][key] = value;
        expect_read_or_refused(yarn, changed, key, value);
    }
}

TEST(ConfigKeys, KeysThatAreNotKnownAreRefusedWithTheirValue) {
    for (const Family& family : families()) {
        Json json = full_config(family);
        const std::string before = summary(parse(json));
        json["cross_layer_sharing"] = nullptr;
        EXPECT_EQ(summary(parse(json)), before) << "null says nothing";
        json["cross_layer_sharing"] = 8192;
        EXPECT_THAT(error_of([&] { parse(json); }),
                    AllOf(HasSubstr("cross_layer_sharing is 8192"), HasSubstr("config.json"),
                          HasSubstr("take it out")));
        json["cross_layer_sharing"] = std::string(100000, 'x');
        EXPECT_LT(error_of([&] { parse(json); }).size(), 300U);
    }
}

TEST(ConfigKeys, HarmlessKeysChangeNothing) {
    for (const Family& family : families()) {
        SCOPED_TRACE(std::string(family.model_type));
        const Json base = full_config(family);
        for (const Json& value : {Json(true), Json(7), Json("x"), Json::object()}) {
            Json json = base;
            for (const std::string_view key : harmless_config_keys())
                if (key != "model_type") json[std::string(key)] = value;
            for (const std::string_view key : family.ignored_keys) json[std::string(key)] = value;
            EXPECT_EQ(summary(parse(json)), summary(parse(base))) << value.dump();
        }
    }
}

TEST(ConfigKeys, ConfigurationsOfPublishedModelsAreUnderstood) {
    // SmolLM2-135M-Instruct, Llama-3.2-1B-Instruct, Qwen2.5-0.5B and Vicuna.
    for (const char* text : {
             R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
                 "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
                 "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.0416,
                 "intermediate_size": 1536, "is_llama_config": true,
                 "max_position_embeddings": 8192, "model_type": "llama",
                 "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
                 "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
                 "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
                 "tie_word_embeddings": true, "torch_dtype": "bfloat16",
                 "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
                 "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 49152})",
             R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
                 "attention_dropout": 0.0, "bos_token_id": 128000,
                 "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
                 "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
                 "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
                 "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
                 "pretraining_tp": 1, "rms_norm_eps": 1e-05,
                 "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                                  "original_max_position_embeddings": 8192, "rope_type": "llama3"},
                 "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
                 "transformers_version": "4.45.0.dev0", "use_cache": true,
                 "vocab_size": 128256})",
             R"({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0,
                 "bos_token_id": 151643, "eos_token_id": 151643, "hidden_act": "silu",
                 "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
                 "max_position_embeddings": 32768, "max_window_layers": 24,
                 "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24,
                 "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
                 "sliding_window": 32768, "tie_word_embeddings": true,
                 "torch_dtype": "bfloat16", "transformers_version": "4.40.1",
                 "use_cache": true, "use_mrope": false, "use_sliding_window": false,
                 "vocab_size": 151936})",
             R"({"_name_or_path": "vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"],
                 "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
                 "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008,
                 "max_position_embeddings": 4096, "max_sequence_length": 2048,
                 "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
                 "num_key_value_heads": 32, "pad_token_id": 0, "pretraining_tp": 1,
                 "rms_norm_eps": 1e-05, "rope_scaling": null, "tie_word_embeddings": false,
                 "torch_dtype": "float16", "transformers_version": "4.31.0",
                 "use_cache": true, "vocab_size": 32000})"})
        EXPECT_GT(parse_hf_config(text, "config.json").n_layers(), 0);
}

}  // namespace
}  // namespace vq::test
