// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"
#include "io/checkpoints/checkpoint.h"
#include "io/checkpoints/checkpoint_hash.h"
#include "io/checkpoints/gguf_kind.h"
#include "io/families/gguf_config.h"
#include "io/families/gguf_metadata.h"
#include "io/families/gguf_rope.h"
#include "io/families/gguf_tensors.h"
#include "io/gguf/gguf.h"
#include "io/tokenizers/gguf_tokenizer.h"

namespace vq {
namespace {

class GgufCheckpoint final : public WeightSource {
public:
    explicit GgufCheckpoint(const std::string& path)
        : file_(path),
          config_(gguf_model_config(checked_model_file(file_))),
          tokenizer_(gguf_tokenizer_files(file_, config_.notes)),
          further_blocks_(gguf_further_blocks(file_)) {
        std::set<std::string> used;
        const auto has_tensor = [&](const std::string& name) {
            return file_.find_tensor(name) != nullptr;
        };
        for (GgufSource& source : gguf_sources(config_, has_tensor)) {
            Stored stored;
            for (const std::string& name : source.tensors)
                if (const GgufTensor* tensor = file_.find_tensor(name))
                    stored.tensors.push_back(tensor);
            if (stored.tensors.size() != source.tensors.size()) continue;  // the check names it
            used.insert(source.tensors.begin(), source.tensors.end());
            const std::string name = source.name;
            stored.source = std::move(source);
            tensors_.emplace(name, std::move(stored));
        }
        list_names(used);
        check_model_tensors(*this, path);
    }

    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return tokenizer_; }
    const std::vector<std::string>& names() const override { return names_; }
    bool has(const std::string& name) const override { return tensors_.count(name) != 0; }

    std::vector<std::string> notes() const override {
        std::vector<std::string> all = config_.notes;
        if (unused_ > 0) all.push_back(unused_note(unused_));
        if (!left_out_.empty())
            all.push_back(
                fmt::format("{} and others of blocks that predict further tokens are left "
                            "out",
                            left_out_));
        return all;
    }

    TensorShape shape(const std::string& name) const override {
        const Stored& stored = find(name);
        if (stored.source.latent_heads > 0) return latent_shape(stored);
        TensorShape shape = part_shape(*stored.tensors[0], stored.source.expert);
        if (stored.tensors.size() == 1) return shape;
        const bool vectors = dimensions(*stored.tensors[0], stored.source.expert) == 1;
        std::int64_t size = 0;
        for (std::size_t i = 0; i < stored.tensors.size(); ++i) {
            const GgufTensor& tensor = *stored.tensors[i];
            const TensorShape part = part_shape(tensor, stored.source.expert);
            const std::int64_t rows = vectors ? part.cols : part.rows;
            // The check of the model sees their sum alone.
            if (rows != stored.source.part_rows[i] || (!vectors && part.cols != shape.cols))
                throw Error(fmt::format("tensor is {} x {}, the configuration calls for {} rows "
                                        "of {} columns",
                                        part.rows, part.cols, stored.source.part_rows[i],
                                        vectors ? 1 : shape.cols),
                            file_.path() + ": " + tensor.name,
                            "check that configuration and weights belong together");
            size += rows;
        }
        return vectors ? TensorShape{1, size} : TensorShape{size, shape.cols};
    }

    Matrix read(const std::string& name) const override {
        const Stored& stored = find(name);
        if (stored.source.latent_heads > 0) return read_latent(stored, name);
        const TensorShape size = shape(name);
        Matrix values(size.rows, size.cols);
        Index begin = 0;
        for (const GgufTensor* tensor : stored.tensors)
            begin += read_part(*tensor, stored.source, begin, values);
        finish(stored, values);
        check_finite(values, file_.path() + ": " + stored.tensors.front()->name);
        return values;
    }

    std::string content_hash() const override {
        return checkpoint_hash(
            config_.hf_json, names_, [&](const std::string& name, Hasher& hasher) {
                const Stored& stored = find(name);
                for (const GgufTensor* tensor : stored.tensors) {
                    const ByteSpan data = part_bytes(*tensor, stored.source.expert);
                    hasher.add(ggml_type_name(static_cast<std::uint32_t>(tensor->type)));
                    hash_tensor(data.data(), data.size(), hasher);
                    file_.release(*tensor, data);
                }
            });
    }

private:
    struct Stored {
        std::vector<const GgufTensor*> tensors;
        GgufSource source;
    };

    /// What no tensor of the model is: an error of the check, but for blocks behind the last one.
    void list_names(const std::set<std::string>& used) {
        std::set<std::string> others;
        for (const GgufTensor& tensor : file_.tensors()) {
            if (used.count(tensor.name) != 0 || is_rope_factors(tensor.name)) continue;
            if (is_unused(tensor.name)) {
                ++unused_;
                continue;
            }
            if (is_behind_blocks(tensor.name)) {
                if (left_out_.empty()) left_out_ = tensor.name;
                continue;
            }
            if (!tensors_.emplace(tensor.name, Stored{{&tensor}, {}}).second)
                throw Error("tensor stands under two names", file_.path() + ": " + tensor.name,
                            "convert the model again");
            others.insert(tensor.name);
        }
        for (const ExpectedTensor& tensor : expected_tensors(config_))
            if (has(tensor.name)) names_.push_back(tensor.name);
        names_.insert(names_.end(), others.begin(), others.end());
    }

    /// Keys and values that no layer looks at.
    bool is_unused(const std::string& name) const {
        return std::any_of(config_.unused.begin(), config_.unused.end(), [&](const ModelTensor& t) {
            return name == gguf_weight_name(t.gguf_name) || name == t.gguf_name + ".bias";
        });
    }

    /// Of a block that predicts further tokens.
    bool is_behind_blocks(const std::string& name) const {
        for (std::int64_t l = 0; l < further_blocks_; ++l)
            if (name.starts_with(fmt::format("blk.{}.", config_.n_layers() + l))) return true;
        return false;
    }

    static std::size_t dimensions(const GgufTensor& tensor, std::int64_t expert) {
        return tensor.extents.size() - (expert >= 0 && !tensor.extents.empty() ? 1 : 0);
    }

    /// Of one tensor, or of an expert's part of it.
    TensorShape part_shape(const GgufTensor& tensor, std::int64_t expert) const {
        const auto& extents = tensor.extents;
        if (expert >= 0 && !extents.empty() && expert >= extents.back())
            throw Error(fmt::format("tensor has no expert {}", expert),
                        file_.path() + ": " + tensor.name,
                        "check that configuration and weights belong together");
        if (dimensions(tensor, expert) == 1) return {1, extents[0]};
        if (dimensions(tensor, expert) == 2) return {extents[1], extents[0]};
        throw Error(fmt::format("tensor has {} dimensions", extents.size()),
                    file_.path() + ": " + tensor.name,
                    "use a model whose tensors are vectors and matrices");
    }

    ByteSpan part_bytes(const GgufTensor& tensor, std::int64_t expert) const {
        const ByteSpan data = file_.data(tensor);
        if (expert < 0) return data;
        const std::size_t bytes = data.size() / static_cast<std::size_t>(tensor.extents.back());
        return data.subspan(static_cast<std::size_t>(expert) * bytes, bytes);
    }

    /// Fills in the rows of `values` that stand in this tensor, whose first row is row `begin` of
    /// all; returns how many it has. Vectors count as one row, in their stored order.
    Index read_part(const GgufTensor& tensor, const GgufSource& source, Index begin,
                    Matrix& values) const {
        const TensorShape size = part_shape(tensor, source.expert);
        const ByteSpan data = part_bytes(tensor, source.expert);
        const Index row_bytes = static_cast<Index>(data.size()) / size.rows;
        if (dimensions(tensor, source.expert) == 1) {
            ggml_dequantize(tensor.type, data.data(), size.cols, values.data() + begin);
            file_.release(tensor, data);
            return size.cols;
        }
        const Index step = std::max<Index>(1, (1 << 18) / size.cols);
        parallel_for((values.rows() + step - 1) / step, [&](std::int64_t i) {
            for (Index row = i * step; row < std::min(values.rows(), (i + 1) * step); ++row) {
                const Index at =
                    (source.rows.empty() ? row : source.rows[static_cast<std::size_t>(row)]) -
                    begin;
                if (at < 0 || at >= size.rows) continue;
                ggml_dequantize(tensor.type, data.data() + at * row_bytes, size.cols,
                                values.data() + row * size.cols);
            }
        });
        file_.release(tensor, data);
        return size.rows;
    }

    static void finish(const Stored& of, Matrix& values) {
        const GgufSource& source = of.source;
        // Elements of a vector are rows to the source; a matrix may have one row too.
        const bool vector = dimensions(*of.tensors[0], source.expert) == 1;
        const std::vector<std::int64_t>& order = vector ? source.rows : source.cols;
        if (!order.empty()) {
            VQ_ASSERT(static_cast<Index>(order.size()) == values.cols());
            const Matrix stored = values;
            for (Index i = 0; i < values.cols(); ++i)
                values.col(i) = stored.col(order[static_cast<std::size_t>(i)]);
        }
        if (source.change == GgufSource::Change::minus_one) values.array() -= 1.0F;
        if (source.change == GgufSource::Change::log_of_negative)
            for (Index i = 0; i < values.size(); ++i)
                values.data()[i] = std::log(-values.data()[i]);
    }

    TensorShape latent_shape(const Stored& stored) const {
        const GgufTensor& keys = *stored.tensors[0];
        const GgufTensor& values = *stored.tensors[1];
        const std::int64_t heads = stored.source.latent_heads;
        for (const GgufTensor* tensor : {&keys, &values})
            if (tensor->extents.size() != 3 || tensor->extents[2] != heads)
                throw Error(fmt::format("tensor is not of {} heads", heads),
                            file_.path() + ": " + tensor->name, "convert the model again");
        const std::vector<std::int64_t>& rows = stored.source.part_rows;
        if (keys.extents[0] != rows[0] || values.extents[1] != rows[1])
            throw Error(
                fmt::format("tensor has heads of {}, the configuration calls for {}",
                            keys.extents[0] != rows[0] ? keys.extents[0] : values.extents[1],
                            keys.extents[0] != rows[0] ? rows[0] : rows[1]),
                file_.path() + ": " + (keys.extents[0] != rows[0] ? keys.name : values.name),
                "check that configuration and weights belong together");
        if (keys.extents[1] != values.extents[0])
            throw Error("tensor does not fit " + values.name, file_.path() + ": " + keys.name,
                        "convert the model again");
        return {heads * (keys.extents[0] + values.extents[1]), keys.extents[1]};
    }

    /// Head by head the keys' rows, which stand turned over, then the values'.
    Matrix read_latent(const Stored& stored, const std::string& name) const {
        const TensorShape size = shape(name);
        Matrix all(size.rows, size.cols);
        const Index key_rows = stored.tensors[0]->extents[0];
        const Index value_rows = stored.tensors[1]->extents[1];
        for (Index head = 0; head < stored.source.latent_heads; ++head) {
            GgufSource part;
            part.expert = head;
            Matrix keys(size.cols, key_rows);
            Matrix values(value_rows, size.cols);
            read_part(*stored.tensors[0], part, 0, keys);
            read_part(*stored.tensors[1], part, 0, values);
            const Index first = head * (key_rows + value_rows);
            all.middleRows(first, key_rows) = keys.transpose();
            all.middleRows(first + key_rows, value_rows) = values;
        }
        check_finite(all, file_.path() + ": " + stored.tensors[0]->name);
        return all;
    }

    const Stored& find(const std::string& name) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end())
            throw Error("tensor is missing", file_.path() + ": " + name,
                        "check that the file is complete");
        return found->second;
    }

    GgufFile file_;
    ModelConfig config_;
    TokenizerFiles tokenizer_;
    std::unordered_map<std::string, Stored> tensors_;
    std::vector<std::string> names_;
    std::int64_t unused_ = 0;      ///< tensors of keys and values that no layer looks at
    std::int64_t further_blocks_;  ///< behind the last one, that predict further tokens
    std::string left_out_;         ///< the first tensor of one
};

}  // namespace

std::unique_ptr<WeightSource> open_gguf(const std::string& path) {
    return std::make_unique<GgufCheckpoint>(path);
}

}  // namespace vq
