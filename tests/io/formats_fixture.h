// SPDX-License-Identifier: Apache-2.0
// Builders of small model files, whole and damaged, for the tests of the readers in io/.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/files/safetensors.h"
#include "io/gguf/gguf.h"

namespace vq::test {

/// A folder that is removed with everything in it.
class TempFolder {
public:
    TempFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "vqkit_XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = pattern;
    }
    ~TempFolder() {
        std::error_code code;
        std::filesystem::remove_all(path_, code);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }
    std::size_t entries() const {
        return static_cast<std::size_t>(
            std::distance(std::filesystem::directory_iterator(path_), {}));
    }

private:
    std::string path_;
};

/// A new file each time: one that is mapped keeps its content, and replacing the content of an old
/// one waits for the disk on some file systems.
inline void write_bytes(const std::string& path, const std::string& bytes) {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// The message of the vq::Error that f throws; a failure when it throws none or something else.
inline std::string error_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "not one line";
        return error.what();
    } catch (const std::exception& error) {
        ADD_FAILURE() << "not a vq::Error: " << error.what();
        return {};
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
}

/// True when f succeeds, false when it throws vq::Error; a failure when it throws something else.
inline bool succeeds_or_errs(const std::function<void()>& f, const std::string& what) {
    try {
        f();
        return true;
    } catch (const Error&) {
        return false;
    } catch (const std::exception& error) {
        ADD_FAILURE() << what << ": " << error.what();
        return false;
    }
}

template <class T>
std::string raw(T value) {
    std::string bytes(sizeof(value), '\0');
    std::memcpy(bytes.data(), &value, sizeof(value));
    return bytes;
}

inline std::string raw_floats(const std::vector<float>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// A safetensors file of a header given as text.
inline std::string safetensors_bytes(const std::string& header, std::size_t data_bytes) {
    return raw(static_cast<std::uint64_t>(header.size())) + header + std::string(data_bytes, '\0');
}

/// Writes GGUF files byte by byte; the public members damage them.
class GgufBuilder {
public:
    std::uint32_t magic = 0x46554747;
    std::uint32_t version = 3;
    std::uint64_t alignment = 32;
    std::int64_t extra_tensors = 0;  ///< added to the tensor count in the header
    std::int64_t extra_pairs = 0;    ///< added to the count of key-value pairs

    GgufBuilder& pair(const std::string& key, GgufType type, const std::string& bytes) {
        pairs_.push_back(text(key) + raw(static_cast<std::uint32_t>(type)) + bytes);
        return *this;
    }
    GgufBuilder& set(const std::string& key, std::uint32_t value) {
        return pair(key, GgufType::u32, raw(value));
    }
    GgufBuilder& set(const std::string& key, float value) {
        return pair(key, GgufType::f32, raw(value));
    }
    GgufBuilder& set(const std::string& key, bool value) {
        return pair(key, GgufType::boolean, std::string(1, value ? '\1' : '\0'));
    }
    GgufBuilder& set(const std::string& key, const char* value) {
        return pair(key, GgufType::string, text(value));
    }
    GgufBuilder& set(const std::string& key, const std::vector<std::string>& values) {
        std::string bytes = array_head(GgufType::string, values.size());
        for (const std::string& value : values) bytes += text(value);
        return pair(key, GgufType::array, bytes);
    }
    GgufBuilder& set(const std::string& key, const std::vector<std::int32_t>& values) {
        std::string bytes = array_head(GgufType::i32, values.size());
        for (const std::int32_t value : values) bytes += raw(value);
        return pair(key, GgufType::array, bytes);
    }
    GgufBuilder& set(const std::string& key, const std::vector<float>& values) {
        return pair(key, GgufType::array,
                    array_head(GgufType::f32, values.size()) + raw_floats(values));
    }
    /// extents in ggml order; `offset` replaces the true one.
    GgufBuilder& tensor(const std::string& name, const std::vector<std::uint64_t>& extents,
                        std::uint32_t type, const std::string& data, std::int64_t offset = -1) {
        std::string info = text(name) + raw(static_cast<std::uint32_t>(extents.size()));
        for (const std::uint64_t extent : extents) info += raw(extent);
        info += raw(type) + raw(static_cast<std::uint64_t>(
                                offset >= 0 ? static_cast<std::size_t>(offset) : data_.size()));
        infos_.push_back(info);
        data_ += data;
        data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
        return *this;
    }
    std::size_t header_bytes() const { return header().size(); }
    std::string bytes() const {
        std::string out = header();
        out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
        return out + data_;
    }

    static std::string text(const std::string& value) {
        return raw(static_cast<std::uint64_t>(value.size())) + value;
    }
    static std::string array_head(GgufType type, std::uint64_t count) {
        return raw(static_cast<std::uint32_t>(type)) + raw(count);
    }

private:
    std::string header() const {
        std::string out = raw(magic) + raw(version);
        out += raw(static_cast<std::int64_t>(infos_.size()) + extra_tensors);
        out += raw(static_cast<std::int64_t>(pairs_.size()) + extra_pairs);
        for (const std::string& entry : pairs_) out += entry;
        for (const std::string& info : infos_) out += info;
        return out;
    }
    std::vector<std::string> pairs_, infos_;
    std::string data_;
};

/// The shape of the model that the builders below write.
struct TinyModel {
    std::string architecture = "llama";
    std::int64_t vocab = 12, hidden = 32, middle = 64, layers = 2, heads = 2, kv_heads = 1;
    bool tied = true;
    bool biased = false;  ///< q, k, v (and o in llama) have biases

    std::string config_json() const;
    /// Name, rows (0 for a vector) and columns of every tensor, HF names.
    struct Entry {
        std::string name;
        std::int64_t rows, cols;
        std::string like = {};  ///< holds the values of the tensor of this name, if any
    };
    std::vector<Entry> tensors() const;
};

inline std::string TinyModel::config_json() const {
    std::string json = "{\"architectures\": [\"";
    json += architecture == "llama" ? "LlamaForCausalLM" : "Qwen2ForCausalLM";
    json +=
        "\"], \"model_type\": \"" + architecture + "\", \"vocab_size\": " + std::to_string(vocab);
    json += ", \"hidden_size\": " + std::to_string(hidden);
    json += ", \"intermediate_size\": " + std::to_string(middle);
    json += ", \"num_hidden_layers\": " + std::to_string(layers);
    json += ", \"num_attention_heads\": " + std::to_string(heads);
    json += ", \"num_key_value_heads\": " + std::to_string(kv_heads);
    json += ", \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05, \"hidden_act\": \"silu\"";
    json += std::string(", \"tie_word_embeddings\": ") + (tied ? "true" : "false");
    if (architecture == "llama")
        json += std::string(", \"attention_bias\": ") + (biased ? "true" : "false");
    return json + ", \"bos_token_id\": 1, \"eos_token_id\": 2}";
}

inline std::vector<TinyModel::Entry> TinyModel::tensors() const {
    const std::int64_t head = hidden / heads;
    std::vector<Entry> list{{"model.embed_tokens.weight", vocab, hidden}};
    for (std::int64_t i = 0; i < layers; ++i) {
        const std::string prefix = "model.layers." + std::to_string(i) + ".";
        list.push_back({prefix + "input_layernorm.weight", 0, hidden});
        for (const auto& [part, rows] : {std::pair<const char*, std::int64_t>{"q", heads * head},
                                         {"k", kv_heads * head},
                                         {"v", kv_heads * head},
                                         {"o", hidden}}) {
            const std::string name = prefix + "self_attn." + part + "_proj";
            list.push_back({name + ".weight", rows, hidden});
            if (biased && (architecture == "llama" || *part != 'o'))
                list.push_back({name + ".bias", 0, rows});
        }
        list.push_back({prefix + "post_attention_layernorm.weight", 0, hidden});
        list.push_back({prefix + "mlp.gate_proj.weight", middle, hidden});
        list.push_back({prefix + "mlp.up_proj.weight", middle, hidden});
        list.push_back({prefix + "mlp.down_proj.weight", hidden, middle});
    }
    list.push_back({"model.norm.weight", 0, hidden});
    if (!tied) list.push_back({"lm_head.weight", vocab, hidden});
    return list;
}

/// Value of element i of a tensor: exact in fp16 and bf16, different from tensor to tensor.
inline float tiny_value(const std::string& name, std::int64_t i) {
    const auto mix = static_cast<std::int64_t>(name.size()) * 31 + name[name.size() / 2] + i * 7;
    return static_cast<float>(mix % 61 - 30) / 16.0F;
}

inline std::vector<float> tiny_values(const TinyModel::Entry& entry) {
    std::vector<float> values(
        static_cast<std::size_t>(std::max<std::int64_t>(1, entry.rows) * entry.cols));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] =
            tiny_value(entry.like.empty() ? entry.name : entry.like, static_cast<std::int64_t>(i));
    return values;
}

/// Lets a test alter the list of tensors and their values before they are written.
using Alter = std::function<void(std::vector<TinyModel::Entry>&)>;
using AlterValues = std::function<void(const std::string&, std::vector<float>&)>;

inline void write_safetensors(const std::string& path, const std::vector<TinyModel::Entry>& list,
                              SafetensorType type) {
    std::vector<SafetensorEntry> entries;
    entries.reserve(list.size());
    for (const auto& entry : list)
        entries.push_back({entry.name, type,
                           entry.rows == 0 ? std::vector<std::int64_t>{entry.cols}
                                           : std::vector<std::int64_t>{entry.rows, entry.cols}});
    SafetensorsWriter writer(path, entries);
    for (const auto& entry : list) writer.write(entry.name, tiny_values(entry).data());
    writer.finish();
}

/// A HF folder with config.json and one model.safetensors.
inline void write_hf_folder(const std::string& folder, const TinyModel& model,
                            SafetensorType type = SafetensorType::f32, const Alter& alter = {}) {
    std::filesystem::create_directories(folder);
    write_bytes(folder + "/config.json", model.config_json());
    auto list = model.tensors();
    if (alter) alter(list);
    write_safetensors(folder + "/model.safetensors", list, type);
}

/// The name of a HF tensor in GGUF files.
inline std::string gguf_name(std::string name) {
    const std::vector<std::pair<std::string, std::string>> parts{
        {"model.embed_tokens", "token_embd"},
        {"model.norm", "output_norm"},
        {"lm_head", "output"},
        {"model.layers", "blk"},
        {"input_layernorm", "attn_norm"},
        {"self_attn.q_proj", "attn_q"},
        {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"},
        {"self_attn.o_proj", "attn_output"},
        {"post_attention_layernorm", "ffn_norm"},
        {"mlp.gate_proj", "ffn_gate"},
        {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"}};
    for (const auto& [from, to] : parts)
        if (const auto at = name.find(from); at != std::string::npos)
            name.replace(at, from.size(), to);
    return name;
}

/// Metadata and tensors of a GGUF file; q and k rows interleaved as the converter of Llama does it.
inline GgufBuilder tiny_gguf(const TinyModel& model, const AlterValues& alter = {},
                             const Alter& alter_list = {}) {
    GgufBuilder gguf;
    const std::string prefix = model.architecture + ".";
    const auto number = [](std::int64_t value) { return static_cast<std::uint32_t>(value); };
    gguf.set("general.architecture", model.architecture.c_str());
    gguf.set(prefix + "block_count", number(model.layers));
    gguf.set(prefix + "context_length", 64u);
    gguf.set(prefix + "embedding_length", number(model.hidden));
    gguf.set(prefix + "feed_forward_length", number(model.middle));
    gguf.set(prefix + "attention.head_count", number(model.heads));
    gguf.set(prefix + "attention.head_count_kv", number(model.kv_heads));
    gguf.set(prefix + "attention.layer_norm_rms_epsilon", 1e-5F);
    gguf.set(prefix + "rope.freq_base", 10000.0F);
    gguf.set("tokenizer.ggml.bos_token_id", 1u);
    gguf.set("tokenizer.ggml.eos_token_id", 2u);
    const std::int64_t head = model.hidden / model.heads;
    auto list = model.tensors();
    if (alter_list) alter_list(list);
    for (const auto& entry : list) {
        std::vector<float> values = tiny_values(entry);
        const bool rotary = entry.name.find("q_proj") != std::string::npos ||
                            entry.name.find("k_proj") != std::string::npos;
        if (rotary && model.architecture == "llama") {
            const std::vector<float> straight = values;
            const std::int64_t rows = entry.rows == 0 ? entry.cols : entry.rows;
            const std::int64_t width = entry.rows == 0 ? 1 : entry.cols;
            for (std::int64_t row = 0; row < rows; ++row) {
                const std::int64_t h = row / head, half = row % head / (head / 2);
                const std::int64_t pair = row % (head / 2);
                for (std::int64_t j = 0; j < width; ++j)
                    values[static_cast<std::size_t>((h * head + 2 * pair + half) * width + j)] =
                        straight[static_cast<std::size_t>(row * width + j)];
            }
        }
        if (alter) alter(entry.name, values);
        std::vector<std::uint64_t> extents{static_cast<std::uint64_t>(entry.cols)};
        if (entry.rows != 0) extents.push_back(static_cast<std::uint64_t>(entry.rows));
        gguf.tensor(gguf_name(entry.name), extents, 0, raw_floats(values));
    }
    return gguf;
}

}  // namespace vq::test
