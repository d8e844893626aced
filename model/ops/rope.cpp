// SPDX-License-Identifier: Apache-2.0
#include "model/ops/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace vq {

namespace {

using Scaling = RopeConfig::Scaling;

// Llama 3.1: long waves are divided by the factor, short ones kept, a ramp between.
double llama3(const RopeConfig& rope, double f) {
    // Turns that the pair makes over the context that the model was first trained on.
    const double turns =
        static_cast<double>(rope.original_max_position) * f / (2 * std::numbers::pi);
    if (turns < rope.low_freq_factor) return f / rope.factor;
    if (turns >= rope.high_freq_factor) return f;
    const double keep =
        (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    return f * (keep + (1 - keep) / rope.factor);
}

// arXiv 2309.00071, section 3.2: which share of pair i is divided by the factor.
struct YarnRamp {
    double low;
    double high;

    explicit YarnRamp(const RopeConfig& rope) {
        const auto dims = static_cast<double>(rope.dims);
        const auto pair_of = [&](double turns) {
            const double waves =
                static_cast<double>(rope.original_max_position) / (turns * 2 * std::numbers::pi);
            return dims * std::log(waves) / (2 * std::log(rope.theta));
        };
        low = pair_of(rope.beta_fast);
        high = pair_of(rope.beta_slow);
        if (rope.truncate) {
            low = std::floor(low);
            high = std::ceil(high);
        }
        low = std::max(low, 0.0);
        high = std::min(high, dims - 1);
        if (high <= low) high = low + 0.001;
    }
    double operator()(double i) const { return std::clamp((i - low) / (high - low), 0.0, 1.0); }
};

// theta for a text of `positions` tokens.
double dynamic_theta(const RopeConfig& rope, Index positions) {
    if (rope.scaling != Scaling::dynamic || positions <= rope.max_position) return rope.theta;
    const auto dims = static_cast<double>(rope.dims);
    const double longer =
        rope.factor * static_cast<double>(positions) / static_cast<double>(rope.max_position);
    return rope.theta * std::pow(longer - (rope.factor - 1), dims / (dims - 2));
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& rope, Index positions) {
    const bool proportional = rope.scaling == Scaling::proportional;
    const Index width = proportional ? rope.head_dim : rope.dims;
    const double theta = dynamic_theta(rope, positions);
    const YarnRamp ramp(rope);
    const std::vector<double>& factors =
        positions > rope.original_max_position ? rope.long_factor : rope.short_factor;
    std::vector<float> out(static_cast<std::size_t>(width / 2));
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto pair = static_cast<double>(i);
        double f = std::pow(theta, -2.0 * pair / static_cast<double>(width));
        switch (rope.scaling) {
            case Scaling::linear: f /= rope.factor; break;
            case Scaling::llama3: f = llama3(rope, f); break;
            case Scaling::yarn: f *= ramp(pair) / rope.factor + (1 - ramp(pair)); break;
            case Scaling::longrope:
                VQ_ASSERT(factors.size() == out.size());
                f /= factors[i];
                break;
            case Scaling::proportional:
                f = static_cast<Index>(i) < rope.dims / 2 ? f / rope.factor : 0.0;
                break;
            case Scaling::none:
            case Scaling::dynamic: break;
        }
        if (!rope.divisors.empty()) f /= rope.divisors[i];
        out[i] = static_cast<float>(f);
    }
    return out;
}

RopeTable::RopeTable(const RopeConfig& rope, Index positions) : interleaved_(rope.interleaved) {
    VQ_ASSERT(rope.dims % 2 == 0);
    const std::vector<float> frequency = rope_frequencies(rope, positions);
    const auto pairs = static_cast<Index>(frequency.size());
    VQ_ASSERT(rope.divisors.empty() || rope.divisors.size() == frequency.size());
    cosine_.resize(positions, pairs);
    sine_.resize(positions, pairs);
    for (Index p = 0; p < positions; ++p) {
        for (Index i = 0; i < pairs; ++i) {
            // The angle is an fp32 product in the models' own code; at position 2000 its rounding
            // shows in the fourth decimal of a logit.
            const float angle = static_cast<float>(p) * frequency[static_cast<std::size_t>(i)];
            const auto a = static_cast<double>(angle);
            cosine_(p, i) = static_cast<float>(std::cos(a) * rope.attention_factor);
            sine_(p, i) = static_cast<float>(std::sin(a) * rope.attention_factor);
        }
    }
}

void RopeTable::rotate(float* x, Index heads, Index stride, Index position,
                       const Kernels& kernel) const {
    VQ_ASSERT(position >= 0 && position < positions());
    const Index pairs = cosine_.cols();
    const float* c = cosine_.data() + position * pairs;
    const float* s = sine_.data() + position * pairs;
    for (Index h = 0; h < heads; ++h) {
        float* const head = x + h * stride;
        if (!interleaved_) {
            kernel.rotate(head, c, s, pairs);
            continue;
        }
        for (Index i = 0; i < pairs; ++i) {
            const float a = head[2 * i];
            const float b = head[2 * i + 1];
            head[2 * i] = a * c[i] - b * s[i];
            head[2 * i + 1] = b * c[i] + a * s[i];
        }
    }
}

}  // namespace vq
