// SPDX-License-Identifier: Apache-2.0
// Every key of config.json is read, refused with its value, or known to be harmless.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "base/json.h"
#include "io/families/model_config.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Everything that a configuration comes to.
std::string summary(const ModelConfig& c) {
    std::ostringstream out;
    out.precision(17);
    const auto list = [&](const std::vector<std::int64_t>& ids) {
        for (const std::int64_t id : ids) out << id << ",";
        out << " ";
    };
    const auto tensor = [&](const ModelTensor& t) {
        out << t.name << " " << t.gguf_name << " " << t.rows << "x" << t.cols << " " << t.bias
            << " " << t.gguf_pair_heads << "; ";
    };
    out << c.architecture << " " << c.max_position << " " << c.norm_eps << " " << c.tie_embeddings
        << " ";
    list(c.bos_ids);
    list(c.eos_ids);
    out << static_cast<int>(c.ropes.front().scaling) << " " << c.ropes.front().theta << " "
        << c.ropes.front().dims << " " << c.ropes.front().factor << " "
        << c.ropes.front().low_freq_factor << " " << c.ropes.front().high_freq_factor << " "
        << c.ropes.front().original_max_position << "\n";
    tensor(c.embedding);
    for (const LayerConfig& layer : c.layers) {
        out << layer.attention.n_heads << " " << layer.attention.n_kv_heads << " "
            << layer.attention.head_dim << " " << layer.mlp.width << ": ";
        for (const ModelTensor& t : layer.tensors) tensor(t);
    }
    tensor(c.final_norm);
    tensor(c.head);
    return out.str();
}

ModelConfig parse(const Json& json) {
    return parse_hf_config(json.dump(), "config.json");
}

/// Every setting that matters is said, so that another value of any of them is another model.
Json full_config(const Family& family) {
    Json json = Json::parse(TinyModel().config_json());
    json["model_type"] = family.model_type;
    json.erase("attention_bias");
    json["head_dim"] = 16;
    json["rope_theta"] = 10000.0;
    json["original_max_position_embeddings"] = 64;
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0}};
    return json;
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

TEST(ConfigKeys, EveryKeyThatARowUnderstandsIsReadOrRefused) {
    // A value that is not what full_config() says or leaves out.
    const std::map<std::string, Json> others = {
        {"attention_bias", true},
        {"bos_token_id", 3},
        {"eos_token_id", Json::array({2, 5})},
        {"head_dim", 24},
        {"hidden_act", "gelu"},
        {"hidden_size", 64},
        {"intermediate_size", 96},
        {"layer_types", Json::array({"full_attention", "sliding_attention"})},
        {"max_position_embeddings", 128},
        {"mlp_bias", true},
        {"num_attention_heads", 4},
        {"num_hidden_layers", 3},
        {"num_key_value_heads", 2},
        {"original_max_position_embeddings", 32},
        {"partial_rotary_factor", 0.5},
        {"rms_norm_eps", 1e-3},
        {"rope_interleaved", true},
        {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}}},
        {"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}},
        {"rope_theta", 500.0},
        {"tie_word_embeddings", false},
        {"use_mrope", true},
        {"use_sliding_window", true},
        {"vocab_size", 13},
    };
    for (const Family& family : families()) {
        SCOPED_TRACE(std::string(family.model_type));
        for (const ConfigKey& key : family.keys) {
            const auto other = others.find(key.hf);
            ASSERT_NE(other, others.end()) << key.hf << " has no other value here";
            Json base = full_config(family);
            // It speaks only where rope_scaling does not.
            if (key.setting == Setting::rope_parameters) base.erase("rope_scaling");
            Json changed = base;
            changed[key.hf] = other->second;
            const Json shown =
                key.setting == Setting::layer_types ? other->second[1] : other->second;
            expect_read_or_refused(base, changed, key.hf, shown);
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
                                                {"mrope_section", Json::array({2, 3, 3})},
                                                {"attention_factor", 1.5}};
    for (const Family& family : families())
        for (const auto& [key, value] : others) {
            Json base = full_config(family);
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
}

TEST(ConfigKeys, KeysThatAreNotKnownAreRefusedWithTheirValue) {
    for (const Family& family : families()) {
        Json json = full_config(family);
        const std::string before = summary(parse(json));
        json["attention_chunk_size"] = nullptr;
        EXPECT_EQ(summary(parse(json)), before) << "null says nothing";
        json["attention_chunk_size"] = 8192;
        EXPECT_THAT(error_of([&] { parse(json); }),
                    AllOf(HasSubstr("attention_chunk_size is 8192"), HasSubstr("config.json"),
                          HasSubstr("take it out")));
        json["attention_chunk_size"] = std::string(100000, 'x');
        EXPECT_LT(error_of([&] { parse(json); }).size(), 300U);
    }
}

TEST(ConfigKeys, HarmlessKeysChangeNothing) {
    for (const Family& family : families()) {
        const Json base = full_config(family);
        const auto expect_nothing = [&](std::string_view key) {
            if (key == "model_type") return;
            for (const Json& value : {Json(true), Json(7), Json("x"), Json::object()}) {
                Json json = base;
                json[std::string(key)] = value;
                EXPECT_EQ(summary(parse(json)), summary(parse(base))) << key;
            }
        };
        for (const std::string_view key : harmless_config_keys()) expect_nothing(key);
        for (const std::string_view key : family.ignored_keys) expect_nothing(key);
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
