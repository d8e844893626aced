// SPDX-License-Identifier: Apache-2.0
// The second half of a block, as the calibration text goes through it.
#include <map>

#include "model/calibration_impl.h"
#include "model/feed_forward/mlp_beside_mixture.h"

namespace vq {

/// What the feed-forward reads of some tokens of one window: in `out` or where it lies.
const float* CalibrationWalk::Impl::feed_forward_input(const HalfNorms& norms, Index row,
                                                       Index rows, float* out) {
    if (block().parallel) return entered.row(row).data();
    return norms.input(context, stream.row(row).data(), rows, out);
}

/// The stream as a mixture reads it.
MixtureStream CalibrationWalk::Impl::mixture_stream() {
    VQ_ASSERT(stage == Stage::between || stage == Stage::inside);
    HalfNorms norms = feed_forward_norms(weights());
    const auto reader = [this](const HalfNorms& read_norms) {
        return [this, norms = read_norms](std::span<const Index> tokens, float* out) {
            const Index hidden = config().hidden_size;
            for_token_tiles(static_cast<Index>(tokens.size()), [&](Index first, Index count) {
                for (Index i = first; i < first + count; ++i) {
                    const Index row = tokens[static_cast<std::size_t>(i)];
                    float* const to = out + i * hidden;
                    const float* x = feed_forward_input(norms, row, 1, to);
                    if (x != to) std::copy_n(x, hidden, to);
                }
            });
        };
    };
    const auto routed_by = reader(norms);
    if (!block().mlp_beside_mixture()) return {weights(), routed_by, routed_by};
    norms.before = weights().norm(TensorRole::expert_norm);
    return {weights(), reader(norms), routed_by};
}

ExpertWalk& CalibrationWalk::Impl::experts() {
    if (routed == nullptr)
        routed = std::make_unique<ExpertWalk>(context, mixture_stream(), tokens(), scratch);
    return *routed;
}

/// Experts all of whose groups come before `group` are as they will be: what they give is added up,
/// and weights that were given for them are let go.
void CalibrationWalk::Impl::settle_experts(const std::vector<LinearGroup>& groups, Index group) {
    for (Index e = experts().settled(); e < block().mixture.n_experts; ++e) {
        for (std::size_t g = static_cast<std::size_t>(group); g < groups.size(); ++g)
            if (groups[g].expert == e) return;
        experts().settle(mixture_stream());
        for (const ModelTensor& tensor : block().tensors) {
            if (tensor.expert != e) continue;
            replacements.erase(tensor.weight());
            replacements.erase(tensor.bias_name());
        }
    }
}

void CalibrationWalk::Impl::add_feed_forward() {
    const LayerWeights from = weights();
    const HalfNorms norms = feed_forward_norms(from);
    if (block().mlp_beside_mixture()) {
        add_beside(from);
        return;
    }
    if (inside_kept) {
        const Linear down = from.group(GroupKind::down);
        for_windows(0, windows(), [&](Index row, Index rows) {
            norms.add_to_stream(
                context, rows, stream.row(row).data(), scratch, [&](float factor, float* to) {
                    add_product(down, kept.row(row).data(), rows, factor, to, scratch);
                });
        });
        return;
    }
    if (block().mixture.n_experts > 0) {
        const Matrix& given = experts().finish(mixture_stream());
        for_windows(0, windows(), [&](Index row, Index rows) {
            norms.add_to_stream(
                context, rows, stream.row(row).data(), scratch, [&](float factor, float* to) {
                    const Index size = rows * config().hidden_size;
                    Eigen::Map<Vector>(to, size) +=
                        factor * Eigen::Map<const Vector>(given.row(row).data(), size);
                });
        });
        return;
    }
    const auto half = make_feed_forward(context, from);
    for_windows(0, windows(), [&](Index row, Index rows) {
        const auto normed = scratch.floats(rows * config().hidden_size);
        const float* x = feed_forward_input(norms, row, rows, normed.floats());
        norms.add_to_stream(
            context, rows, stream.row(row).data(), scratch,
            [&](float factor, float* to) { half->add(x, rows, factor, to, scratch); });
    });
}

/// What an MLP and the mixture beside it give.
void CalibrationWalk::Impl::add_beside(const LayerWeights& from) {
    const HalfNorms norms = feed_forward_norms(from);
    const BesideNorms beside(from);
    const Linear down = from.group(GroupKind::down);
    const MlpInside inside(context, from, block_mlp, block().mlp.activation);
    const Matrix& experts_gave = experts().finish(mixture_stream());
    const Kernels& kernel = *context.kernel;
    for_windows(0, windows(), [&](Index row, Index rows) {
        const Index size = rows * config().hidden_size;
        const auto room = scratch.floats(size);
        const auto h = scratch.floats(inside_kept ? 0 : rows * inside.width());
        if (!inside_kept) {
            beside.mlp_before.apply(stream.row(row).data(), rows, room.floats(), kernel);
            inside.apply(room.floats(), rows, h.floats(), scratch);
        }
        norms.add_to_stream(
            context, rows, stream.row(row).data(), scratch, [&](float factor, float* to) {
                Eigen::Map<Vector> sum(to, size);
                Eigen::Map<Vector> given(room.floats(), size);
                down.apply(inside_kept ? kept.row(row).data() : h.floats(), rows, given.data(),
                           scratch);
                beside.mlp_after.apply(given.data(), rows, given.data(), kernel);
                sum += factor * given;
                given = Eigen::Map<const Vector>(experts_gave.row(row).data(), size);
                beside.experts_after.apply(given.data(), rows, given.data(), kernel);
                sum += factor * given;
            });
    });
}

/// What a block takes of tokens beside the stream, and its last number.
void CalibrationWalk::Impl::add_input() {
    const LayerWeights from = weights();
    if (block().layer_input > 0) {
        const LayerInput input(context, from);
        for_windows(0, windows(), [&](Index row, Index rows) {
            const auto room = scratch.floats(rows * block().layer_input);
            input.add(input_rows(row, rows, room.floats()), rows, stream.row(row).data(), scratch);
        });
    }
    if (const float scale = block_scale(from); scale != 1.0F) stream *= scale;
}

/// They depend on nothing but the word, and a text has many more tokens than words.
void CalibrationWalk::Impl::make_inputs(const Matrix& embedding) {
    std::map<TokenId, Index> place;
    for (const TokenId id : ids) place.emplace(id, 0);
    std::vector<TokenId> words;
    for (auto& [word, at] : place) {
        at = static_cast<Index>(words.size());
        words.push_back(word);
    }
    input_of.clear();
    for (const TokenId id : ids) input_of.push_back(place.at(id));
    const LayerInputTable table(context, source, options.precision);
    inputs.resize(static_cast<Index>(words.size()), table.width());
    Matrix embedded(inputs.rows(), config().hidden_size);
    for (std::size_t i = 0; i < words.size(); ++i)
        embedded.row(static_cast<Index>(i)) =
            static_cast<float>(config().embedding_scale) * embedding.row(words[i]);
    table.make(words, embedded.data(), inputs.data(), scratch);
}

/// The block's part for tokens of one window, gathered in `out`.
LayerInputRows CalibrationWalk::Impl::input_rows(Index row, Index rows, float* out) const {
    const Index width = block().layer_input;
    for (Index t = 0; t < rows; ++t)
        std::copy_n(inputs.row(input_of[static_cast<std::size_t>(row + t)]).data() + layer * width,
                    width, out + t * width);
    return {out, width};
}

}  // namespace vq
