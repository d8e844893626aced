// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"
#include "io/checkpoints/checkpoint.h"
#include "io/checkpoints/checkpoint_hash.h"
#include "io/files/safetensors.h"

namespace vq {
namespace {

constexpr std::int64_t max_config_bytes = 16 << 20;
constexpr std::int64_t max_index_bytes = 256 << 20;
constexpr std::int64_t max_tokenizer_bytes = 256 << 20;

bool exists(const std::string& path) {
    std::error_code code;
    return std::filesystem::exists(path, code);
}

bool ends_with(const std::string& text, std::string_view tail) {
    return text.size() >= tail.size() &&
           text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

class HfFolder final : public WeightSource {
public:
    explicit HfFolder(std::string folder) : folder_(std::move(folder)) {
        if (!exists(file("config.json")))
            throw Error("folder has no config.json", folder_, "give the folder of a HF checkpoint");
        config_ = parse_hf_config(read_text_file(file("config.json"), max_config_bytes),
                                  file("config.json"));
        open_files();
        list_names();
        check_model_tensors(*this, folder_);
        for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                                 "special_tokens_map.json", "added_tokens.json",
                                 "generation_config.json", "chat_template.jinja"})
            if (exists(file(name)))
                tokenizer_[name] = read_text_file(file(name), max_tokenizer_bytes);
    }

    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return tokenizer_; }
    const std::vector<std::string>& names() const override { return names_; }
    bool has(const std::string& name) const override { return tensors_.count(name) != 0; }

    TensorShape shape(const std::string& name) const override {
        const Stored& stored = find(name);
        const SafetensorInfo& info = *stored.info;
        if (info.type == SafetensorType::other)
            throw Error("dtype " + info.type_name + " is not supported",
                        stored.file->path() + ": " + name,
                        "convert the checkpoint to F32, F16 or BF16");
        if (info.shape.size() == 1) return {1, info.shape[0]};
        if (info.shape.size() == 2) return {info.shape[0], info.shape[1]};
        throw Error(fmt::format("tensor has {} dimensions", info.shape.size()),
                    stored.file->path() + ": " + name,
                    "use a model whose tensors are vectors and matrices");
    }

    Matrix read(const std::string& name) const override {
        const Stored& stored = find(name);
        const TensorShape size = shape(name);
        const ByteSpan data = stored.file->data(*stored.info);
        Matrix values(size.rows, size.cols);
        const std::int64_t element = stored.info->type == SafetensorType::f32 ? 4 : 2;
        constexpr std::int64_t chunk = 1 << 18;
        parallel_for((values.size() + chunk - 1) / chunk, [&](std::int64_t i) {
            const std::int64_t begin = i * chunk;
            safetensor_to_float(stored.info->type, data.data() + begin * element,
                                std::min<std::int64_t>(chunk, values.size() - begin),
                                values.data() + begin);
        });
        stored.file->file().release(data);
        check_finite(values, stored.file->path() + ": " + name);
        return values;
    }

    std::string content_hash() const override {
        return checkpoint_hash(config_.hf_json, names_,
                               [&](const std::string& name, Hasher& hasher) {
                                   const Stored& stored = find(name);
                                   const ByteSpan data = stored.file->data(*stored.info);
                                   hasher.add(std::string_view(stored.info->type_name));
                                   hasher.add(data.data(), data.size());
                                   stored.file->file().release(data);
                               });
    }

private:
    struct Stored {
        const SafetensorsFile* file = nullptr;
        const SafetensorInfo* info = nullptr;
    };

    std::string file(const std::string& name) const { return folder_ + "/" + name; }

    const Stored& find(const std::string& name) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end())
            throw Error("tensor is missing", folder_ + ": " + name,
                        "check that the checkpoint is complete");
        return found->second;
    }

    void open_files() {
        if (exists(file("model.safetensors"))) {
            const SafetensorsFile& only = open("model.safetensors");
            for (const SafetensorInfo& info : only.tensors()) tensors_[info.name] = {&only, &info};
            return;
        }
        const std::string index = file("model.safetensors.index.json");
        if (!exists(index))
            throw Error("folder has neither model.safetensors nor model.safetensors.index.json",
                        folder_, "convert the checkpoint to safetensors");
        for (const auto& [name, shard] :
             parse_safetensors_index(read_text_file(index, max_index_bytes), index)) {
            const auto opened = files_.find(shard);
            const SafetensorsFile& home = opened != files_.end() ? *opened->second : open(shard);
            const SafetensorInfo* info = home.find(name);
            if (info == nullptr)
                throw Error("tensor is not in the shard that the index names",
                            home.path() + ": " + name, "get the checkpoint again");
            tensors_[name] = {&home, info};
        }
    }

    const SafetensorsFile& open(const std::string& name) {
        return *(files_[name] = std::make_unique<SafetensorsFile>(file(name)));
    }

    /// Whether two tensors hold the same values, whatever their types.
    bool same_values(const std::string& a, const std::string& b) const {
        const Stored& first = find(a);
        const Stored& second = find(b);
        if (first.info->shape != second.info->shape) return false;
        if (first.info->type != second.info->type) return read(a) == read(b);
        const ByteSpan here = first.file->data(*first.info);
        const ByteSpan there = second.file->data(*second.info);
        const bool same = std::equal(here.begin(), here.end(), there.begin(), there.end());
        first.file->file().release(here);
        second.file->file().release(there);
        return same;
    }

    /// Names in model order; then what the model does not call for, which the check refuses, except
    /// what older checkpoints carry along: rotary frequencies and a copy of tied embeddings.
    void list_names() {
        const std::string embedding = config_.embedding.weight();
        const std::string head = config_.head.weight();
        // Of two tied tensors a writer keeps one, under either name.
        if (config_.tie_embeddings && !has(embedding) && has(head))
            tensors_[embedding] = tensors_[head];
        // Fine-tuning and merging leave heads of their own in models that say that they have none.
        if (config_.tie_embeddings && has(embedding) && has(head) && !same_values(embedding, head))
            throw Error("tensor differs from " + embedding +
                            ", but tie_word_embeddings says that they are one",
                        folder_ + ": " + head,
                        "set tie_word_embeddings to false in config.json to use the tensor");
        std::set<std::string> others;
        for (const auto& [name, stored] : tensors_) others.insert(name);
        for (const ExpectedTensor& tensor : expected_tensors(config_))
            if (others.erase(tensor.name) != 0) names_.push_back(tensor.name);
        for (const std::string& name : others) {
            if (ends_with(name, ".rotary_emb.inv_freq") || (config_.tie_embeddings && name == head))
                tensors_.erase(name);
            else
                names_.push_back(name);
        }
    }

    std::string folder_;
    ModelConfig config_;
    TokenizerFiles tokenizer_;
    std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
    std::unordered_map<std::string, Stored> tensors_;
    std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<WeightSource> open_hf_folder(const std::string& folder) {
    return std::make_unique<HfFolder>(folder);
}

}  // namespace vq
