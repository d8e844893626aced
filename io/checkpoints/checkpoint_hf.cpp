// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"
#include "io/checkpoints/checkpoint.h"
#include "io/checkpoints/checkpoint_hash.h"
#include "io/checkpoints/file_tensors.h"
#include "io/checkpoints/generation_config.h"
#include "io/families/model_tensors.h"
#include "io/files/mxfp4.h"
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
        open_files();
        config_ = parse_hf_config(read_text_file(file("config.json"), max_config_bytes),
                                  file("config.json"), families(),
                                  [&](const std::string& name) { return files_have(name); });
        settle_head();
        list_names();
        check_model_tensors(*this, folder_);
        for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                                 "special_tokens_map.json", "added_tokens.json",
                                 "generation_config.json", "chat_template.jinja"})
            if (exists(file(name)))
                tokenizer_[name] = read_text_file(file(name), max_tokenizer_bytes);
        add_generation_stops(tokenizer_, folder_, config_);
    }

    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return tokenizer_; }
    const std::vector<std::string>& names() const override { return names_; }
    bool has(const std::string& name) const override { return tensors_.count(name) != 0; }

    TensorShape shape(const std::string& name) const override {
        const Stored& stored = find(name);
        if (stored.scales != nullptr) return stored.shape;
        check_type(stored);
        if (is_transposed(stored.layout) && !stored.bias)
            return {stored.shape.cols, stored.shape.rows};
        return stored.shape;
    }

    std::vector<std::int64_t> dims(const std::string& name) const override {
        return find(name).info->shape;
    }

    Matrix read(const std::string& name) const override {
        const Stored& stored = find(name);
        if (stored.scales != nullptr) return read_mxfp4(stored, name);
        check_type(stored);
        const ByteSpan data = bytes_of(stored);
        Matrix values(stored.shape.rows, stored.shape.cols);
        const std::int64_t element = element_bytes(*stored.info);
        constexpr std::int64_t chunk = 1 << 18;
        parallel_for((values.size() + chunk - 1) / chunk, [&](std::int64_t i) {
            const std::int64_t begin = i * chunk;
            safetensor_to_float(stored.info->type, data.data() + begin * element,
                                std::min<std::int64_t>(chunk, values.size() - begin),
                                values.data() + begin);
        });
        stored.file->file().release(data);
        check_finite(values, stored.file->path() + ": " + name);
        if (stored.layout == ExpertLayout::single) return values;
        return from_file_layout(values, stored.layout, stored.bias);
    }

    std::string content_hash() const override {
        return checkpoint_hash(config_.hf_json, names_,
                               [&](const std::string& name, Hasher& hasher) {
                                   const Stored& stored = find(name);
                                   const ByteSpan data = bytes_of(stored);
                                   hasher.add(std::string_view(stored.info->type_name));
                                   hash_tensor(data.data(), data.size(), hasher);
                                   stored.file->file().release(data);
                                   if (stored.scales == nullptr) return;
                                   const ByteSpan scales = scales_of(stored);
                                   hasher.add(scales.data(), scales.size());
                               });
    }

private:
    /// A tensor of the model in a tensor of a file: all of it, or a part that is in one piece.
    struct Stored {
        const SafetensorsFile* file = nullptr;
        const SafetensorInfo* info = nullptr;
        TensorShape shape;       ///< as it stands there
        std::int64_t first = 0;  ///< element of the file's tensor
        ExpertLayout layout = ExpertLayout::single;
        bool bias = false;
        /// Not null: `info` holds blocks of MXFP4, row by row, and `first` counts bytes of them.
        const SafetensorInfo* scales = nullptr;
        const SafetensorsFile* scales_file = nullptr;
    };

    static std::int64_t element_bytes(const SafetensorInfo& info) {
        return info.type == SafetensorType::f32 ? 4 : 2;
    }

    static TensorShape whole_shape(const SafetensorInfo& info) {
        if (info.shape.empty()) return {1, 1};
        if (info.shape.size() == 1) return {1, info.shape[0]};
        const Index rows = info.shape[0];
        return {rows, rows == 0 ? 0 : info.count / rows};
    }

    static Stored whole(const SafetensorsFile& home, const SafetensorInfo& info) {
        return {&home, &info, whole_shape(info), 0, ExpertLayout::single, false, nullptr, nullptr};
    }

    static void check_type(const Stored& stored) {
        if (stored.info->type == SafetensorType::other)
            throw Error("dtype " + stored.info->type_name + " is not supported",
                        stored.file->path() + ": " + stored.info->name,
                        "convert the checkpoint to F32, F16 or BF16");
    }

    static ByteSpan bytes_of(const Stored& stored) {
        const ByteSpan data = stored.file->data(*stored.info);
        if (stored.scales != nullptr)
            return data.subspan(
                static_cast<std::size_t>(stored.first),
                static_cast<std::size_t>(stored.shape.rows * stored.shape.cols / 2));
        if (stored.info->type == SafetensorType::other) return data;
        const std::int64_t element = element_bytes(*stored.info);
        return data.subspan(
            static_cast<std::size_t>(stored.first * element),
            static_cast<std::size_t>(stored.shape.rows * stored.shape.cols * element));
    }

    static ByteSpan scales_of(const Stored& stored) {
        const ByteSpan data = stored.scales_file->data(*stored.scales);
        return data.subspan(
            static_cast<std::size_t>(stored.first / 16),
            static_cast<std::size_t>(stored.shape.rows * stored.shape.cols / mxfp4_block));
    }

    Matrix read_mxfp4(const Stored& stored, const std::string& name) const {
        const auto [rows, cols] = stored.shape;
        const ByteSpan blocks = bytes_of(stored);
        const ByteSpan scales = scales_of(stored);
        Matrix values(rows, cols);
        const std::int64_t in_row = cols / mxfp4_block;
        const Index row_bytes = cols / 2;
        parallel_for(values.rows(), [&](std::int64_t r) {
            const Index at = output_in_file(stored.layout, r, values.rows());
            mxfp4_to_float(blocks.data() + at * row_bytes, scales.data() + at * in_row, in_row,
                           values.row(r).data());
        });
        check_finite(values, stored.file->path() + ": " + name);
        return values;
    }

    bool files_have(const std::string& name) const { return tensors_.count(name) != 0; }

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
            for (const SafetensorInfo& info : only.tensors())
                tensors_[info.name] = whole(only, info);
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
            tensors_[name] = whole(home, *info);
        }
        // Others read shards whole: what the index does not name would be a part of their model.
        for (const auto& [shard, opened] : files_)
            for (const SafetensorInfo& info : opened->tensors()) {
                const auto listed = tensors_.find(info.name);
                if (listed == tensors_.end())
                    throw Error("tensor is in a shard but not in the index",
                                opened->path() + ": " + info.name, "get the checkpoint again");
                if (listed->second.file != opened.get())
                    throw Error("tensor is in two shards", opened->path() + ": " + info.name,
                                "get the checkpoint again");
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

    /// Of an embedding and a head that are said to be one, the file may hold one, or both, alike or
    /// not: fine-tuning and merging leave heads in models that say that they have none. Then the
    /// head of the file counts, as in other programs.
    void settle_head() {
        if (!config_.tie_embeddings) return;
        const std::string embedding = config_.embedding.weight();
        const std::string head = config_.head.weight();
        if (!has(head)) return;
        if (!has(embedding)) {
            tensors_[embedding] = tensors_[head];
            tensors_.erase(head);
            return;
        }
        if (same_values(embedding, head)) {
            tensors_.erase(head);
            return;
        }
        untie(config_);
        config_.notes.push_back(fmt::format(
            "{} differs from {} although tie_word_embeddings is true: the file's head is used",
            head, embedding));
    }

    /// The tensor of three dimensions that holds experts' matrices of rows x cols.
    const Stored& stack(const std::string& name, std::int64_t n_experts, std::int64_t rows,
                        std::int64_t cols) const {
        const Stored& whole = find(name);
        const std::vector<std::int64_t> dims =
            rows > 0 ? std::vector{n_experts, rows, cols} : std::vector{n_experts, cols};
        if (whole.info->shape != dims)
            throw Error(fmt::format("tensor is {}, the configuration calls for {}",
                                    fmt::join(whole.info->shape, " x "), fmt::join(dims, " x ")),
                        whole.file->path() + ": " + name,
                        "check that configuration and weights belong together");
        return whole;
    }

    /// An expert's matrix in a stack of three dimensions, the way its family writes it.
    Stored stacked(const ModelTensor& tensor, std::int64_t n_experts, bool bias) const {
        TensorShape shape = is_transposed(tensor.layout) ? TensorShape{tensor.cols, tensor.rows}
                                                         : TensorShape{tensor.rows, tensor.cols};
        if (bias) shape = {1, tensor.rows};
        Stored part = stack(stack_name(tensor, bias), n_experts, bias ? 0 : shape.rows, shape.cols);
        part.shape = shape;
        part.first = tensor.expert * shape.rows * shape.cols;
        part.layout = tensor.layout;
        part.bias = bias;
        return part;
    }

    /// An expert's matrix in blocks of MXFP4, whose rows stand as the model has them but for turns
    /// that rows of gate and up take.
    Stored in_mxfp4(const ModelTensor& tensor, std::int64_t n_experts) const {
        const std::string name = stack_name(tensor, false);
        Stored part = find(name + "_blocks");
        const Stored& scales = find(name + "_scales");
        const std::int64_t in_row = tensor.cols / mxfp4_block;
        const std::vector<std::int64_t> dims = {n_experts, tensor.rows, in_row, 16};
        const std::vector<std::int64_t> scale_dims = {n_experts, tensor.rows, in_row};
        if (tensor.cols % mxfp4_block != 0 || part.info->shape != dims ||
            scales.info->shape != scale_dims || part.info->type_name != "U8" ||
            scales.info->type_name != "U8")
            throw Error(fmt::format("tensor is {} of {}, the configuration calls for U8 of {}",
                                    part.info->type_name, fmt::join(part.info->shape, " x "),
                                    fmt::join(dims, " x ")),
                        part.file->path() + ": " + name + "_blocks",
                        "check that configuration and weights belong together");
        part.shape = {tensor.rows, tensor.cols};
        part.first = tensor.expert * tensor.rows * tensor.cols / 2;
        part.layout = tensor.layout;
        part.scales = scales.info;
        part.scales_file = scales.file;
        return part;
    }

    Stored fused(const ModelTensor& tensor, const std::string& name, std::int64_t n_experts) const {
        const bool down = tensor.role == TensorRole::expert_down;
        const std::int64_t rows = down ? tensor.rows : 2 * tensor.rows;
        Stored part = stack(name, n_experts, rows, tensor.cols);
        const std::int64_t before = tensor.role == TensorRole::expert_up ? tensor.rows : 0;
        part.shape = {tensor.rows, tensor.cols};
        part.first = (tensor.expert * rows + before) * tensor.cols;
        return part;
    }

    /// Experts' matrices under names of their own, whatever tensors they stand in.
    void find_experts() {
        std::set<std::string> stacks;
        for (const LayerConfig& layer : config_.layers)
            for (const ModelTensor& tensor : layer.tensors) {
                if (tensor.expert < 0) continue;
                const std::int64_t n = layer.mixture.n_experts;
                if (tensor.layout == ExpertLayout::single) {
                    const std::string name = fused_stack_name(tensor);
                    if (has(tensor.weight()) || name.empty() || !has(name)) continue;
                    tensors_[tensor.weight()] = fused(tensor, name, n);
                    stacks.insert(name);
                    continue;
                }
                const std::string name = stack_name(tensor, false);
                const bool blocks =
                    is_transposed(tensor.layout) && !has(name) && has(name + "_blocks");
                if (blocks) {
                    tensors_[tensor.weight()] = in_mxfp4(tensor, n);
                    stacks.insert({name + "_blocks", name + "_scales"});
                }
                for (const bool bias : {false, true}) {
                    if (bias ? !tensor.bias : blocks) continue;
                    tensors_[bias ? tensor.bias_name() : tensor.weight()] =
                        stacked(tensor, n, bias);
                    stacks.insert(stack_name(tensor, bias));
                }
            }
        for (const std::string& name : stacks) tensors_.erase(name);
    }

    /// Names in model order; then those that are none of the model's own, and what the check
    /// refuses. Older checkpoints carry rotary frequencies along.
    void list_names() {
        find_experts();
        std::set<std::string> others;
        for (const auto& [name, stored] : tensors_) others.insert(name);
        for (const ExpectedTensor& tensor : expected_tensors(config_))
            if (others.erase(tensor.name) != 0) names_.push_back(tensor.name);
        std::int64_t foreign = 0;
        std::int64_t unused = 0;
        std::string first_foreign;
        for (const std::string& name : others) {
            if (ends_with(name, ".rotary_emb.inv_freq")) {
                tensors_.erase(name);
                continue;
            }
            if (is_unused(config_, name)) {
                tensors_.erase(name);
                ++unused;
                continue;
            }
            const bool carried = is_foreign(config_, name);
            if (carried && tensors_[name].info->type == SafetensorType::other) {
                config_.notes.push_back(fmt::format("{} has the type {} and is left out", name,
                                                    tensors_[name].info->type_name));
                tensors_.erase(name);
                continue;
            }
            if (carried && ++foreign == 1) first_foreign = name;
            names_.push_back(name);
        }
        if (unused > 0) config_.notes.push_back(unused_note(unused));
        if (foreign > 0)
            config_.notes.push_back(fmt::format(
                "{} tensors of other parts than the text model ({}, ...) stay as they are", foreign,
                first_foreign));
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
