// SPDX-License-Identifier: Apache-2.0
#include "model/ops/layer_weights.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/ops/packed_linear.h"

namespace vq {

namespace {

const Matrix* replaced(const LayerWeights& weights, const std::string& name) {
    if (weights.replacements == nullptr) return nullptr;
    const auto at = weights.replacements->find(name);
    return at == weights.replacements->end() ? nullptr : &at->second;
}

// Of tensors one below the other; empty where none has one.
Vector stacked_bias(const LayerWeights& weights, std::span<const ModelTensor* const> tensors) {
    if (std::none_of(tensors.begin(), tensors.end(), [](const ModelTensor* t) { return t->bias; }))
        return {};
    std::vector<float> bias;
    for (const ModelTensor* tensor : tensors) {
        if (!tensor->bias) {
            bias.insert(bias.end(), static_cast<std::size_t>(tensor->rows), 0.0F);
            continue;
        }
        const std::string name = tensor->bias_name();
        const Matrix* own = replaced(weights, name);
        const Vector piece =
            own != nullptr ? Vector(own->row(0).transpose()) : load_vector(weights.source, name);
        VQ_ASSERT(piece.size() == tensor->rows);
        bias.insert(bias.end(), piece.begin(), piece.end());
    }
    return Eigen::Map<const Vector>(bias.data(), static_cast<Index>(bias.size()));
}

Linear stacked(const LayerWeights& weights, std::span<const ModelTensor* const> tensors) {
    VQ_ASSERT(!tensors.empty());
    const Vector bias = stacked_bias(weights, tensors);
    if (weights.stays_packed()) {
        std::vector<std::string> names;
        for (const ModelTensor* tensor : tensors) names.push_back(tensor->weight());
        const bool exact = weights.precision == Precision::fp32;
        return {PackedLinear(weights.source.packed(), names, exact), bias};
    }
    std::vector<Matrix> own;
    own.reserve(tensors.size());
    std::vector<const Matrix*> all;
    for (const ModelTensor* tensor : tensors) {
        const Matrix* weight = replaced(weights, tensor->weight());
        if (weight == nullptr) weight = &own.emplace_back(weights.source.read(tensor->weight()));
        all.push_back(weight);
    }
    return {std::span<const Matrix* const>(all), bias, weights.precision};
}

}  // namespace

Vector load_vector(const WeightSource& source, const std::string& name) {
    const Matrix row = source.read(name);
    VQ_ASSERT(row.rows() == 1);
    return row.row(0).transpose();
}

Norm load_norm(const WeightSource& source, const ModelTensor& norm, NormKind kind) {
    const Matrix weight = source.read(norm.weight());
    return make_norm(kind, Eigen::Map<const Vector>(weight.data(), weight.size()),
                     norm.bias ? load_vector(source, norm.bias_name()) : Vector(),
                     source.config().norm_eps);
}

const LayerConfig& LayerWeights::config() const {
    return source.config().layers[static_cast<std::size_t>(layer)];
}

const ModelTensor* LayerWeights::find(TensorRole role, Index expert) const {
    const auto& tensors = config().tensors;
    const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const ModelTensor& t) {
        return t.role == role && t.expert == expert;
    });
    return found == tensors.end() ? nullptr : &*found;
}

bool LayerWeights::stays_packed() const {
    return replacements == nullptr && precision != Precision::bf16 && source.packed() != nullptr;
}

Linear LayerWeights::group(GroupKind kind, Index expert) const {
    std::vector<const ModelTensor*> members;
    for (const ModelTensor& tensor : config().tensors)
        if (group_of(tensor.role) == kind && tensor.expert == expert) members.push_back(&tensor);
    return stacked(*this, members);
}

Linear LayerWeights::linear(const ModelTensor& tensor) const {
    const ModelTensor* const one = &tensor;
    return stacked(*this, {&one, 1});
}

std::pair<Linear, Linear> LayerWeights::halves(const ModelTensor& tensor) const {
    const Matrix* given = replaced(*this, tensor.weight());
    const Matrix own = given == nullptr ? source.read(tensor.weight()) : Matrix();
    const Matrix& weight = given == nullptr ? own : *given;
    const ModelTensor* const one = &tensor;
    const Vector bias = stacked_bias(*this, {&one, 1});
    const auto half = [&](Index first) -> Linear {
        const Index count = weight.rows() / 2;
        const Matrix part = weight.middleRows(first, count);
        const Matrix* const only = &part;
        return {std::span<const Matrix* const>(&only, 1),
                bias.size() == 0 ? bias : Vector(bias.segment(first, count)), precision};
    };
    return {half(0), half(weight.rows() / 2)};
}

Linear LayerWeights::exact(const ModelTensor& tensor) const {
    const Matrix weight = source.read(tensor.weight());
    const ModelTensor* const one = &tensor;
    const Matrix* const only = &weight;
    return {std::span<const Matrix* const>(&only, 1), stacked_bias(*this, {&one, 1}),
            Precision::fp32};
}

Norm LayerWeights::norm(TensorRole role) const {
    return norm(role, source.config().norm);
}

Norm LayerWeights::norm(TensorRole role, NormKind kind) const {
    const ModelTensor* tensor = find(role);
    return tensor == nullptr ? Norm{} : load_norm(source, *tensor, kind);
}

Matrix LayerWeights::matrix(TensorRole role) const {
    const std::string name = config().tensor(role).weight();
    const Matrix* own = replaced(*this, name);
    return own != nullptr ? *own : source.read(name);
}

Vector LayerWeights::vector(TensorRole role) const {
    const Matrix values = matrix(role);
    return Eigen::Map<const Vector>(values.data(), values.size());
}

}  // namespace vq
