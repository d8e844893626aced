// SPDX-License-Identifier: Apache-2.0
#include "model/layer_inputs.h"

#include <cmath>

#include "base/error.h"

namespace vq {

namespace {

WordTable load_words(const LayerWeights& weights, const ModelTensor& table) {
    if (weights.stays_packed()) return {weights.source.packed(), table.weight()};
    return WordTable(weights.source.read(table.weight()));
}

}  // namespace

LayerInputTable::LayerInputTable(const BlockContext& context, const WeightSource& source,
                                 Precision precision)
    : context_(context) {
    const LayerInputs& inputs = context.config.layer_inputs;
    VQ_ASSERT(inputs.width > 0);
    const LayerWeights weights{source, 0, precision, nullptr};
    words_ = load_words(weights, inputs.embedding);
    projection_ = weights.linear(inputs.projection);
    norm_ = load_norm(source, inputs.norm, context.config.norm);
    VQ_ASSERT(words_.width() == projection_.out());
}

void LayerInputTable::make(std::span<const TokenId> tokens, const float* embedded, float* out,
                           ScratchPool& scratch) const {
    const auto count = static_cast<Index>(tokens.size());
    const Index part = norm_.width();
    const auto words = scratch.floats(count * width());
    words_.read(tokens, words.floats());
    projection_.apply(embedded, count, out, scratch);
    const float by_hidden = 1.0F / std::sqrt(static_cast<float>(context_.config.hidden_size));
    const float by_part = std::sqrt(static_cast<float>(part));
    const float half = std::sqrt(0.5F);
    Eigen::Map<Vector> all(out, count * width());
    all *= by_hidden;
    norm_.apply(out, count * (width() / part), out, *context_.kernel);
    all = half * (all + by_part * Eigen::Map<const Vector>(words.floats(), count * width()));
}

LayerInput::LayerInput(const BlockContext& context, const LayerWeights& weights)
    : kernel_(*context.kernel),
      activate_(activation_kernel(kernel_, weights.config().mlp.activation)),
      gate_(weights.group(GroupKind::layer_input_gate)),
      out_(weights.group(GroupKind::layer_input_out)),
      norm_(weights.norm(TensorRole::layer_input_norm)) {}

void LayerInput::inside(const float* x, Index tokens, const LayerInputRows& inputs, float* out,
                        ScratchPool& scratch) const {
    gate_.apply(x, tokens, out, scratch);
    const Index width = gate_.out();
    for (Index t = 0; t < tokens; ++t) {
        float* const row = out + t * width;
        activate_(row, inputs.values + t * inputs.stride, width, row);
    }
}

void LayerInput::add(const LayerInputRows& inputs, Index tokens, float* stream,
                     ScratchPool& scratch) const {
    const Index size = tokens * out_.out();
    const auto h = scratch.floats(tokens * gate_.out());
    const auto given = scratch.floats(size);
    inside(stream, tokens, inputs, h.floats(), scratch);
    out_.apply(h.floats(), tokens, given.floats(), scratch);
    norm_.apply(given.floats(), tokens, given.floats(), kernel_);
    Eigen::Map<Vector>(stream, size) += Eigen::Map<const Vector>(given.floats(), size);
}

}  // namespace vq
