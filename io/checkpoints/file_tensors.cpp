// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoints/file_tensors.h"

#include <map>
#include <set>

#include "base/error.h"
#include "io/checkpoints/checkpoint.h"

namespace vq {
namespace {

std::vector<std::int64_t> own_dims(const ModelTensor& tensor) {
    switch (tensor.dimensions) {
        case 1: return {tensor.rows * tensor.cols};
        case 2: return {tensor.rows, tensor.cols};
        case 3: return {tensor.rows, 1, tensor.cols};
        default: break;
    }
    if (is_vector(tensor.role) && tensor.rows == 1) return {tensor.cols};
    return {tensor.rows, tensor.cols};
}

class Builder {
public:
    void add(const ModelTensor& tensor) {
        const std::int64_t outputs = tensor.bias_size();
        if (tensor.layout == ExpertLayout::single) {
            list_.push_back({tensor.weight(), own_dims(tensor), {{tensor.weight(), {}}}});
            if (tensor.bias)
                list_.push_back({tensor.bias_name(), {outputs}, {{tensor.bias_name(), {}}}});
            return;
        }
        std::vector<std::int64_t> dims = {0, tensor.rows, tensor.cols};
        if (is_transposed(tensor.layout)) std::swap(dims[1], dims[2]);
        add_part(stack_name(tensor, false), dims, {tensor.weight(), tensor.layout});
        if (tensor.bias)
            add_part(stack_name(tensor, true), {0, outputs}, {tensor.bias_name(), tensor.layout});
    }
    void add_foreign(const std::string& name, std::vector<std::int64_t> dims) {
        list_.push_back({name, std::move(dims), {{name, {}}}});
    }
    std::vector<FileTensor> take() { return std::move(list_); }

private:
    void add_part(const std::string& name, const std::vector<std::int64_t>& dims, FilePart part) {
        const auto [place, is_new] = index_.emplace(name, list_.size());
        if (is_new) list_.push_back({name, dims, {}});
        FileTensor& whole = list_[place->second];
        ++whole.dims[0];
        whole.parts.push_back(std::move(part));
    }

    std::vector<FileTensor> list_;
    std::map<std::string, std::size_t> index_;
};

}  // namespace

std::string stack_name(const ModelTensor& tensor, bool bias) {
    const std::size_t number = tensor.name.rfind('[');
    VQ_ASSERT(number != std::string::npos);
    return tensor.name.substr(0, number) + (bias ? "_bias" : "");
}

std::vector<FileTensor> file_tensors(const WeightSource& source) {
    const ModelConfig& config = source.config();
    Builder builder;
    for_each_tensor(config,
                    [&](const ModelTensor& tensor, const LayerConfig*) { builder.add(tensor); });
    for (const std::string& name : source.names())
        if (is_foreign(config, name)) builder.add_foreign(name, source.dims(name));
    return builder.take();
}

Index output_in_file(ExpertLayout layout, Index i, Index rows) {
    if (layout != ExpertLayout::interleaved) return i;
    const Index half = rows / 2;
    return i < half ? 2 * i : 2 * (i - half) + 1;
}

Matrix to_file_layout(const Matrix& values, ExpertLayout layout, bool bias) {
    if (!is_transposed(layout)) return values;
    Matrix stored = bias ? values : Matrix(values.transpose());
    if (layout != ExpertLayout::interleaved) return stored;
    const Matrix straight = stored;
    for (Index i = 0; i < stored.cols(); ++i)
        stored.col(output_in_file(layout, i, stored.cols())) = straight.col(i);
    return stored;
}

Matrix from_file_layout(const Matrix& stored, ExpertLayout layout, bool bias) {
    if (!is_transposed(layout)) return stored;
    Matrix straight = stored;
    if (layout == ExpertLayout::interleaved)
        for (Index i = 0; i < stored.cols(); ++i)
            straight.col(i) = stored.col(output_in_file(layout, i, stored.cols()));
    if (bias) return straight;
    return straight.transpose();
}

}  // namespace vq
