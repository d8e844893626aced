// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"
#include "io/checkpoints/checkpoint.h"
#include "io/checkpoints/checkpoint_hash.h"
#include "io/families/gguf_config.h"
#include "io/families/gguf_rope.h"
#include "io/files/gguf.h"
#include "io/tokenizers/gguf_tokenizer.h"

namespace vq {
namespace {

class GgufCheckpoint final : public WeightSource {
public:
    explicit GgufCheckpoint(const std::string& path)
        : file_(path), config_(gguf_model_config(file_)), tokenizer_(gguf_tokenizer_files(file_)) {
        const auto known_names = gguf_tensor_names(config_);
        std::set<std::string> others;
        for (const GgufTensor& tensor : file_.tensors()) {
            if (tensor.name == rope_factors_tensor) continue;  // became rope scaling
            const auto known = known_names.find(tensor.name);
            const std::string name = known == known_names.end() ? tensor.name : known->second.hf;
            const std::int64_t heads = known == known_names.end() ? 0 : known->second.pair_heads;
            if (!tensors_.emplace(name, Stored{&tensor, heads}).second)
                throw Error("tensor stands under two names", path + ": " + tensor.name,
                            "convert the model again");
            others.insert(name);
        }
        for (const ExpectedTensor& tensor : expected_tensors(config_))
            if (others.erase(tensor.name) != 0) names_.push_back(tensor.name);
        names_.insert(names_.end(), others.begin(), others.end());
        check_model_tensors(*this, path);
    }

    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return tokenizer_; }
    const std::vector<std::string>& names() const override { return names_; }
    bool has(const std::string& name) const override { return tensors_.count(name) != 0; }

    TensorShape shape(const std::string& name) const override {
        const GgufTensor& tensor = *find(name).tensor;
        const auto& extents = tensor.extents;
        if (extents.size() == 1) return {1, extents[0]};
        if (extents.size() == 2) return {extents[1], extents[0]};
        throw Error(fmt::format("tensor has {} dimensions", extents.size()),
                    file_.path() + ": " + tensor.name,
                    "use a model whose tensors are vectors and matrices");
    }

    Matrix read(const std::string& name) const override {
        const GgufTensor& tensor = *find(name).tensor;
        const TensorShape size = shape(name);
        const ByteSpan data = file_.data(tensor);
        const std::int64_t heads = find(name).pair_heads;
        const Index row_bytes = tensor.bytes / size.rows;
        Matrix values(size.rows, size.cols);
        const Index step = std::max<Index>(1, (1 << 18) / size.cols);
        parallel_for((size.rows + step - 1) / step, [&](std::int64_t i) {
            for (Index row = i * step; row < std::min(size.rows, (i + 1) * step); ++row) {
                const Index stored =
                    heads > 0 && size.rows > 1 ? stored_row(row, size.rows / heads) : row;
                ggml_dequantize(tensor.type, data.data() + stored * row_bytes, size.cols,
                                values.data() + row * size.cols);
            }
        });
        file_.release(tensor, data);
        if (heads > 0 && size.rows == 1) {
            const Matrix as_stored = values;
            for (Index i = 0; i < size.cols; ++i)
                values(0, i) = as_stored(0, stored_row(i, size.cols / heads));
        }
        check_finite(values, file_.path() + ": " + tensor.name);
        return values;
    }

    std::string content_hash() const override {
        return checkpoint_hash(
            config_.hf_json, names_, [&](const std::string& name, Hasher& hasher) {
                const GgufTensor& tensor = *find(name).tensor;
                const ByteSpan data = file_.data(tensor);
                hasher.add(ggml_type_name(static_cast<std::uint32_t>(tensor.type)));
                hasher.add(data.data(), data.size());
                file_.release(tensor, data);
            });
    }

private:
    struct Stored {
        const GgufTensor* tensor;
        /// Above 0: rows of q and k (weights and biases) stand with the two halves of every rotary
        /// pair side by side, in so many heads.
        std::int64_t pair_heads;
    };

    const Stored& find(const std::string& name) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end())
            throw Error("tensor is missing", file_.path() + ": " + name,
                        "check that the file is complete");
        return found->second;
    }

    /// Where row `row` of the half-split order stands in the interleaved one.
    static Index stored_row(Index row, Index head_dim) {
        const Index in_head = row % head_dim;
        const Index pair = in_head % (head_dim / 2);
        const Index half = in_head / (head_dim / 2);
        return row - in_head + 2 * pair + half;
    }

    GgufFile file_;
    ModelConfig config_;
    TokenizerFiles tokenizer_;
    std::unordered_map<std::string, Stored> tensors_;
    std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<WeightSource> open_gguf(const std::string& path) {
    return std::make_unique<GgufCheckpoint>(path);
}

}  // namespace vq
