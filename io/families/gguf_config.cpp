// SPDX-License-Identifier: Apache-2.0
#include "io/families/gguf_config.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace vq {
namespace {

class MetadataReader {
public:
    explicit MetadataReader(const GgufFile& file)
        : file_(file), prefix_(file.require_string("general.architecture") + ".") {
        const std::string name = prefix_.substr(0, prefix_.size() - 1);
        if (name != "llama" && name != "qwen2")
            throw Error("architecture \"" + name.substr(0, 60) + "\" is not supported", file.path(),
                        "use a model of the architecture llama or qwen2");
    }

    bool qwen2() const { return prefix_ == "qwen2."; }
    std::string key(const char* name) const { return prefix_ + name; }

    /// An integer, or an array that holds one per layer if they are all equal.
    std::optional<std::int64_t> integer(const char* name) const {
        const GgufValue* value = file_.find(key(name));
        if (value == nullptr || value->type != GgufType::array) return file_.get_int(key(name));
        const auto list = *file_.get_ints(key(name));
        for (const std::int64_t entry : list)
            if (entry != list.front()) fail(name, "differs from layer to layer");
        return list.empty() ? std::nullopt : std::optional(list.front());
    }
    std::int64_t required(const char* name) const {
        if (const auto value = integer(name)) return *value;
        return file_.require_int(key(name));
    }
    std::optional<double> real(const char* name) const { return file_.get_float(key(name)); }
    std::optional<std::string> text(const char* name) const { return file_.get_string(key(name)); }

    [[noreturn]] void fail(const char* name, const std::string& what) const {
        throw Error(what + ", which is not supported", file_.path() + ": " + key(name),
                    "use a plain Llama or Qwen2 model");
    }

private:
    const GgufFile& file_;
    std::string prefix_;
};

/// What the Llama 3.1 configuration makes of the frequency of rotary pair i of `pairs`.
double llama3_factor(const RopeScaling& rope, double theta, std::int64_t i, std::int64_t pairs) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(theta, static_cast<double>(i) / static_cast<double>(pairs));
    const auto original = static_cast<double>(rope.original_max_position);
    if (wavelength < original / rope.high_freq_factor) return 1;
    if (wavelength > original / rope.low_freq_factor) return rope.factor;
    const double smooth = (original / wavelength - rope.low_freq_factor) /
                          (rope.high_freq_factor - rope.low_freq_factor);
    return 1 / ((1 - smooth) / rope.factor + smooth);
}

/// Finds the llama3 scaling that gives exactly these factors: the released models have frequency
/// factors 1 and 4, the slowest pair shows the factor, the original context is a power of two.
RopeScaling scaling_of_factors(const GgufFile& file, const GgufTensor& tensor, double theta,
                               std::int64_t head_dim) {
    const std::int64_t pairs = tensor.count;
    if (pairs != head_dim / 2)
        throw Error(fmt::format("tensor has {} factors for a head of {}", pairs, head_dim),
                    file.path() + ": " + tensor.name, "convert the model again");
    std::vector<float> factors(static_cast<std::size_t>(pairs));
    ggml_dequantize(tensor.type, file.data(tensor).data(), pairs, factors.data());
    const auto matches = [&](const RopeScaling& rope) {
        for (std::int64_t i = 0; i < pairs; ++i) {
            const double factor = factors[static_cast<std::size_t>(i)];
            // The factors were computed in fp32 from fp32 frequencies.
            if (!(std::abs(factor / llama3_factor(rope, theta, i, pairs) - 1) < 1e-4)) return false;
        }
        return true;
    };
    RopeScaling rope;
    rope.factor = factors.back();
    if (rope.factor == 1.0 && matches(rope)) return rope;
    if (rope.factor > 1.0 && rope.factor < 1e6) {
        rope.type = RopeScaling::Type::llama3;
        for (int power = 10; power <= 20; ++power) {
            rope.original_max_position = std::int64_t{1} << power;
            if (matches(rope)) return rope;
        }
    }
    throw Error("frequency factors are not those of llama3 rope scaling",
                file.path() + ": " + tensor.name, "start from the checkpoint's safetensors");
}

Json rope_scaling(const MetadataReader& reader, const GgufFile& file, double theta,
                  std::int64_t head_dim) {
    const std::string type = reader.text("rope.scaling.type").value_or("none");
    auto factor = reader.real("rope.scaling.factor");
    if (!factor) factor = reader.real("rope.scale_linear");
    if (type != "none" && type != "linear" && !type.empty())
        reader.fail("rope.scaling.type", "rope scaling \"" + type.substr(0, 60) + "\"");
    const GgufTensor* factors = file.find_tensor("rope_freqs.weight");
    if (type != "none" && factor.value_or(1.0) != 1.0) {
        if (factors != nullptr)
            reader.fail("rope.scaling.type", "linear scaling together with rope_freqs.weight");
        return {{"rope_type", "linear"}, {"factor", *factor}};
    }
    if (factors == nullptr) return nullptr;
    const RopeScaling rope = scaling_of_factors(file, *factors, theta, head_dim);
    if (rope.type == RopeScaling::Type::none) return nullptr;
    return {{"rope_type", "llama3"},
            {"factor", rope.factor},
            {"low_freq_factor", rope.low_freq_factor},
            {"high_freq_factor", rope.high_freq_factor},
            {"original_max_position_embeddings", rope.original_max_position}};
}

Json token_ids(const GgufFile& file, std::initializer_list<const char*> keys,
               std::int64_t vocab_size) {
    Json ids = Json::array();
    for (const char* key : keys) {
        const auto id = file.get_int(key);
        if (!id || *id < 0 || *id >= vocab_size) continue;  // 2^32 - 1 stands for none
        if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
    }
    if (ids.empty()) return nullptr;
    return ids.size() == 1 ? ids.front() : ids;
}

}  // namespace

ModelConfig gguf_model_config(const GgufFile& file) {
    const MetadataReader reader(file);
    if (file.get_int("split.count").value_or(1) > 1)
        throw Error("is one part of a split model", file.path(),
                    "merge the parts into one GGUF file first");
    if (reader.integer("expert_count").value_or(0) > 0)
        reader.fail("expert_count", "a mixture of experts");

    const std::int64_t hidden = reader.required("embedding_length");
    const std::int64_t heads = reader.required("attention.head_count");
    if (heads < 1) reader.fail("attention.head_count", fmt::format("a count of {}", heads));
    const std::int64_t head_dim = reader.integer("attention.key_length").value_or(hidden / heads);
    if (reader.integer("attention.value_length").value_or(head_dim) != head_dim)
        reader.fail("attention.value_length", "a value length other than the key length");
    if (reader.integer("rope.dimension_count").value_or(head_dim) != head_dim)
        reader.fail("rope.dimension_count", "rotation of a part of a head");
    const double theta = reader.real("rope.freq_base").value_or(10000.0);
    const auto epsilon = reader.real("attention.layer_norm_rms_epsilon");
    if (!epsilon)
        throw Error("key is missing",
                    file.path() + ": " + reader.key("attention.layer_norm_rms_epsilon"),
                    "convert the model again");

    const GgufTensor* embedding = file.find_tensor("token_embd.weight");
    const std::int64_t vocab = embedding != nullptr && embedding->extents.size() == 2
                                   ? embedding->extents[1]
                                   : reader.required("vocab_size");
    Json json;
    json["architectures"] = {reader.qwen2() ? "Qwen2ForCausalLM" : "LlamaForCausalLM"};
    json["model_type"] = reader.qwen2() ? "qwen2" : "llama";
    json["hidden_act"] = "silu";
    json["vocab_size"] = vocab;
    json["hidden_size"] = hidden;
    json["intermediate_size"] = reader.required("feed_forward_length");
    json["num_hidden_layers"] = reader.required("block_count");
    json["num_attention_heads"] = heads;
    json["num_key_value_heads"] = reader.integer("attention.head_count_kv").value_or(heads);
    json["head_dim"] = head_dim;
    json["max_position_embeddings"] = reader.required("context_length");
    json["rms_norm_eps"] = *epsilon;
    json["rope_theta"] = theta;
    json["rope_scaling"] = rope_scaling(reader, file, theta, head_dim);
    json["tie_word_embeddings"] = file.find_tensor("output.weight") == nullptr;
    if (reader.qwen2())
        json["use_sliding_window"] = false;
    else
        json["attention_bias"] = file.find_tensor("blk.0.attn_q.bias") != nullptr;
    json["bos_token_id"] = token_ids(file, {"tokenizer.ggml.bos_token_id"}, vocab);
    // Chat models end a turn with a token of its own; generation stops at either.
    json["eos_token_id"] =
        token_ids(file, {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}, vocab);
    json["pad_token_id"] = token_ids(file, {"tokenizer.ggml.padding_token_id"}, vocab);
    json["torch_dtype"] = "float32";
    return parse_hf_config(json.dump(2) + "\n", file.path());
}

std::string hf_tensor_name(const std::string& gguf_name) {
    using Pair = std::pair<const char*, const char*>;
    constexpr std::array outer{Pair{"token_embd.weight", "model.embed_tokens.weight"},
                               Pair{"output_norm.weight", "model.norm.weight"},
                               Pair{"output.weight", "lm_head.weight"}};
    constexpr std::array inner{
        Pair{"attn_norm", "input_layernorm"},    Pair{"attn_q", "self_attn.q_proj"},
        Pair{"attn_k", "self_attn.k_proj"},      Pair{"attn_v", "self_attn.v_proj"},
        Pair{"attn_output", "self_attn.o_proj"}, Pair{"ffn_norm", "post_attention_layernorm"},
        Pair{"ffn_gate", "mlp.gate_proj"},       Pair{"ffn_up", "mlp.up_proj"},
        Pair{"ffn_down", "mlp.down_proj"}};
    for (const auto& [from, to] : outer)
        if (gguf_name == from) return to;
    // blk.<layer>.<part>.<weight or bias>
    const std::size_t layer_end = gguf_name.find('.', 4);
    const std::size_t part_end = gguf_name.rfind('.');
    if (gguf_name.rfind("blk.", 0) != 0 || layer_end == std::string::npos || part_end <= layer_end)
        return gguf_name;
    const std::string layer = gguf_name.substr(4, layer_end - 4);
    const std::string part = gguf_name.substr(layer_end + 1, part_end - layer_end - 1);
    for (const auto& [from, to] : inner)
        if (part == from) return "model.layers." + layer + "." + to + gguf_name.substr(part_end);
    return gguf_name;
}

}  // namespace vq
