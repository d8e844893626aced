// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace vq {

std::vector<float> rope_frequencies(const RopeConfig& rope) {
    const Index half = rope.dims / 2;
    std::vector<float> out(static_cast<std::size_t>(half));
    for (Index i = 0; i < half; ++i) {
        double f =
            std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(rope.dims));
        if (rope.scaling == RopeConfig::Scaling::linear) {
            f /= rope.factor;
        } else if (rope.scaling == RopeConfig::Scaling::llama3) {
            // Turns that the pair makes over the context that the model was first trained on.
            const double turns =
                static_cast<double>(rope.original_max_position) * f / (2 * std::numbers::pi);
            if (turns < rope.low_freq_factor) {
                f /= rope.factor;
            } else if (turns < rope.high_freq_factor) {
                const double keep =
                    (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
                f *= keep + (1 - keep) / rope.factor;
            }
        }
        out[static_cast<std::size_t>(i)] = static_cast<float>(f);
    }
    return out;
}

RopeTable::RopeTable(const RopeConfig& rope, Index positions)
    : head_dim_(rope.dims), cosine_(positions, rope.dims / 2), sine_(positions, rope.dims / 2) {
    VQ_ASSERT(rope.dims % 2 == 0);
    const std::vector<float> frequency = rope_frequencies(rope);
    for (Index p = 0; p < positions; ++p) {
        for (Index i = 0; i < head_dim_ / 2; ++i) {
            // The angle is an fp32 product in the models' own code; at position 2000 its rounding
            // shows in the fourth decimal of a logit.
            const float angle = static_cast<float>(p) * frequency[static_cast<std::size_t>(i)];
            cosine_(p, i) = static_cast<float>(std::cos(static_cast<double>(angle)));
            sine_(p, i) = static_cast<float>(std::sin(static_cast<double>(angle)));
        }
    }
}

void RopeTable::rotate(float* x, Index heads, Index position, const Kernels& kernel) const {
    VQ_ASSERT(position >= 0 && position < positions());
    const Index half = head_dim_ / 2;
    const float* c = cosine_.data() + position * half;
    const float* s = sine_.data() + position * half;
    for (Index h = 0; h < heads; ++h) kernel.rotate(x + h * head_dim_, c, s, half);
}

}  // namespace vq
