// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward/mlp.h"

#include <tuple>

#include "base/error.h"
#include "model/ops/token_tiles.h"

namespace vq {

MlpInside::MlpInside(const BlockContext& context, const LayerWeights& weights,
                     const MlpRoles& roles, Activation activation, Index expert)
    : activate_(activation_kernel(*context.kernel, activation)) {
    const ModelTensor* gate = weights.find(roles.gate, expert);
    const ModelTensor* up = weights.find(roles.up, expert);
    const ModelTensor* both = roles.gate_up ? weights.find(*roles.gate_up, expert) : nullptr;
    if (both != nullptr) {
        width_ = both->rows / 2;
        stacked_ = weights.stays_packed();  // a packed tensor cannot be cut
        if (stacked_)
            first_ = weights.linear(*both);
        else
            std::tie(first_, up_) = weights.halves(*both);
        return;
    }
    VQ_ASSERT(up != nullptr);
    width_ = up->rows;
    gated_ = gate != nullptr;
    first_ = weights.linear(gated_ ? *gate : *up);
    if (gated_) up_ = weights.linear(*up);
}

std::int64_t MlpInside::weight_bytes() const {
    return first_.weight_bytes() + (gated_ && !stacked_ ? up_.weight_bytes() : 0);
}

void MlpInside::apply(const float* x, Index tokens, float* out, ScratchPool& scratch) const {
    for_token_tiles(tokens, [&](Index first, Index count) {
        apply_tile(x + first * first_.in(), count, out + first * width_, scratch);
    });
}

void MlpInside::apply_tile(const float* x, Index tokens, float* out, ScratchPool& scratch) const {
    if (stacked_) {
        const auto both = scratch.floats(tokens * 2 * width_);
        first_.apply(x, tokens, both.floats(), scratch);
        for (Index t = 0; t < tokens; ++t) {
            const float* const row = both.floats() + t * 2 * width_;
            activate_(row, row + width_, width_, out + t * width_);
        }
        return;
    }
    if (!gated_) {
        first_.apply(x, tokens, out, scratch);
        activate_(out, nullptr, tokens * width_, out);
        return;
    }
    if (tokens == 1 && first_.packed()) {
        const auto up = scratch.floats(width_);
        const Linear* const both[] = {&first_, &up_};
        float* const to[] = {out, up.floats()};
        Linear::apply_together(both, x, to, scratch);
        activate_(out, up.floats(), width_, out);
        return;
    }
    const auto rounded = scratch.bytes(first_.operand_bytes(tokens));
    const void* operand = first_.operand(x, tokens, rounded.data());
    parallel_for_work(first_.blocks(), 2 * tokens * first_.in() * width_, [&](Index b) {
        const Index begin = first_.block_begin(b);
        const Index n = first_.block_end(b) - begin;
        const auto gate = scratch.floats(tokens * n);
        const auto up = scratch.floats(tokens * n);
        first_.apply_block(operand, tokens, b, gate.floats(), scratch);
        up_.apply_block(operand, tokens, b, up.floats(), scratch);
        for (Index t = 0; t < tokens; ++t)
            activate_(gate.floats() + t * n, up.floats() + t * n, n, out + t * width_ + begin);
    });
}

Mlp::Mlp(const BlockContext& context, const LayerWeights& weights, const MlpRoles& roles,
         Activation activation, Index expert)
    : inside_(context, weights, roles, activation, expert) {
    const ModelTensor* down = weights.find(roles.down, expert);
    VQ_ASSERT(down != nullptr && down->cols == inside_.width());
    down_ = weights.linear(*down);
}

void Mlp::add(const float* x, Index tokens, float factor, float* stream,
              ScratchPool& scratch) const {
    const Index hidden = down_.out();
    for_token_tiles(tokens, [&](Index first, Index count) {
        const auto h = scratch.floats(count * inside_.width());
        inside_.apply(x + first * hidden, count, h.floats(), scratch);
        add_product(down_, h.floats(), count, factor, stream + first * hidden, scratch);
    });
}

void Mlp::apply(const float* x, Index tokens, float* out, ScratchPool& scratch) const {
    const auto h = scratch.floats(tokens * inside_.width());
    inside_.apply(x, tokens, h.floats(), scratch);
    down_.apply(h.floats(), tokens, out, scratch);
}

std::int64_t Mlp::weight_bytes() const {
    return inside_.weight_bytes() + down_.weight_bytes();
}

}  // namespace vq
