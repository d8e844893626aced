// SPDX-License-Identifier: Apache-2.0
#include "model/mixers/short_conv.h"

#include <algorithm>

#include "base/error.h"
#include "model/mixers/causal_conv.h"
#include "model/ops/work_split.h"

namespace vq {

namespace {

constexpr Index tile_tokens = 32;  // what a tile makes stays in L2 until it is used

class ShortConv final : public TokenMixer {
public:
    explicit ShortConv(const LayerWeights& weights)
        : taps_(conv_taps(weights.matrix(TensorRole::conv_weight))),
          in_(weights.group(GroupKind::conv_in)) {}

    void mix(const float* x, Index tokens, Index past, MixerState* state, float* out,
             ScratchPool& scratch) const override {
        VQ_ASSERT(state != nullptr || past == 0);
        const auto rows = scratch.floats(tokens * in_.out());
        in_.apply(x, tokens, rows.floats(), scratch);
        short_conv(taps_, rows.floats(), tokens, static_cast<ShortConvState*>(state), out, scratch);
    }
    std::int64_t weight_bytes() const override {
        return in_.weight_bytes() + taps_.size() * static_cast<Index>(sizeof(float));
    }

private:
    Matrix taps_;
    Linear in_;
};

}  // namespace

void short_conv(const Matrix& taps, const float* rows, Index tokens, ShortConvState* state,
                float* out, ScratchPool& scratch) {
    const Index kernel = taps.rows();
    const Index hidden = taps.cols();
    const Index before = kernel - 1;
    VQ_ASSERT(state == nullptr ||
              (state->recent.rows() == before && state->recent.cols() == hidden));
    // y (count, hidden) = b * x of tokens first .. first + count - 1.
    const auto gated = [&](Index first, Index count, float* y) {
        for (Index t = 0; t < count; ++t) {
            const float* row = rows + (first + t) * 3 * hidden;
            Eigen::Map<Vector>(y + t * hidden, hidden) =
                Eigen::Map<const Vector>(row, hidden)
                    .cwiseProduct(Eigen::Map<const Vector>(row + 2 * hidden, hidden));
        }
    };
    const Index tiles = (tokens + tile_tokens - 1) / tile_tokens;
    parallel_for_work(tiles, tokens * hidden * (kernel + 2), [&](Index tile) {
        const Index first = tile * tile_tokens;
        const Index count = std::min(tile_tokens, tokens - first);
        // Tiles do not wait for each other: each makes the few rows before its own once more.
        const Index reach = std::min(before, first);
        const auto x = scratch.floats((reach + count) * hidden);
        gated(first - reach, reach + count, x.floats());
        const ConvRows recent =
            state != nullptr ? ConvRows{state->recent.data(), hidden} : ConvRows{};
        // A tile that begins later than `before` tokens reaches no further back than its own rows.
        float* const y = out + first * hidden;
        causal_conv({x.floats(), hidden}, reach, count, hidden, recent, taps.data(), hidden, kernel,
                    y, hidden);
        for (Index t = 0; t < count; ++t)
            Eigen::Map<Vector>(y + t * hidden, hidden).array() *=
                Eigen::Map<const Vector>(rows + (first + t) * 3 * hidden + hidden, hidden).array();
    });
    if (state == nullptr || before == 0) return;
    const Index reach = std::min(before, tokens);
    const auto last = scratch.floats(reach * hidden);
    gated(tokens - reach, reach, last.floats());
    keep_recent({last.floats(), hidden}, reach, hidden, kernel, state->recent.data(), hidden);
}

std::unique_ptr<TokenMixer> make_short_conv(const LayerWeights& weights) {
    return std::make_unique<ShortConv>(weights);
}

}  // namespace vq
