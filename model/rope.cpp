// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace vq {

std::vector<float> rope_frequencies(const ModelConfig& config) {
    const RopeScaling& scaling = config.rope_scaling;
    const Index half = config.head_dim / 2;
    std::vector<float> out(static_cast<std::size_t>(half));
    for (Index i = 0; i < half; ++i) {
        double f = std::pow(config.rope_theta,
                            -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
        if (scaling.type == RopeScaling::Type::linear) {
            f /= scaling.factor;
        } else if (scaling.type == RopeScaling::Type::llama3) {
            // Turns that the pair makes over the context that the model was first trained on.
            const double turns =
                static_cast<double>(scaling.original_max_position) * f / (2 * std::numbers::pi);
            if (turns < scaling.low_freq_factor) {
                f /= scaling.factor;
            } else if (turns < scaling.high_freq_factor) {
                const double keep = (turns - scaling.low_freq_factor) /
                                    (scaling.high_freq_factor - scaling.low_freq_factor);
                f *= keep + (1 - keep) / scaling.factor;
            }
        }
        out[static_cast<std::size_t>(i)] = static_cast<float>(f);
    }
    return out;
}

RopeTable::RopeTable(const ModelConfig& config, Index positions)
    : head_dim_(config.head_dim),
      cosine_(positions, config.head_dim / 2),
      sine_(positions, config.head_dim / 2) {
    VQ_ASSERT(config.head_dim % 2 == 0);
    const std::vector<float> frequency = rope_frequencies(config);
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
