// SPDX-License-Identifier: Apache-2.0
// The head's logits by slices of the vocabulary, for a tile of tokens, and what is kept of them from
// slice to slice, so that no row of logits is ever whole.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/language_model.h"

namespace vq {

inline constexpr double no_logit = -1e300;

/// sum_j exp(l_j) as sum * exp(top), and where the largest logit is.
struct RunningSum {
    double top = no_logit;
    double sum = 0;
    Index argmax = 0;

    double log() const { return top + std::log(sum); }
    /// Makes room for a slice whose largest logit is `largest`; the factor by which old sums shrink.
    double raise(float largest, const float* slice, Index n, Index first) {
        if (largest <= top) return 1.0;
        const double factor = sum == 0 ? 0.0 : std::exp(top - static_cast<double>(largest));
        top = static_cast<double>(largest);
        sum *= factor;
        argmax = first + (std::find(slice, slice + n, largest) - slice);
        return factor;
    }
};

/// The five largest logits met so far, the largest first.
struct TopFive {
    std::array<float, 5> logits;
    std::array<Index, 5> tokens{};

    TopFive() { logits.fill(-std::numeric_limits<float>::infinity()); }
    /// Most slices have nothing to add, and their largest logit is known.
    void offer(float largest, const float* slice, Index n, Index first) {
        if (!(largest > logits.back())) return;
        for (Index i = 0; i < n; ++i) {
            if (!(slice[i] > logits.back())) continue;
            std::size_t at = logits.size() - 1;
            for (; at > 0 && slice[i] > logits[at - 1]; --at) {
                logits[at] = logits[at - 1];
                tokens[at] = tokens[at - 1];
            }
            logits[at] = slice[i];
            tokens[at] = first + i;
        }
    }
    bool has(Index token) const {
        return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
    }
};

/// The head's operand for a tile of tokens, in its precision.
struct HeadInput {
    const LanguageModel* model;
    ScratchPool::Buffer rounded;
    const void* operand;

    HeadInput(const LanguageModel& m, const float* hidden, Index tokens)
        : model(&m),
          rounded(m.scratch().bytes(m.head().operand_bytes(tokens))),
          operand(m.head().operand(hidden, tokens, rounded.data())) {}
    void slice(Index tokens, Index b, float* logits) const {
        model->head().apply_block(operand, tokens, b, logits, model->scratch());
    }
};

}  // namespace vq
