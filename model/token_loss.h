// SPDX-License-Identifier: Apache-2.0
// From hidden states to losses without storing logits: the vocabulary is walked in slices of a few
// hundred columns for 128 tokens at a time, and each slice is reduced at once.
//   nll = log sum_j exp(l_j) - l_target
//   KL(ref || x) = sum_j p_j (r_j - l_j) - log sum_j exp(r_j) + log sum_j exp(l_j), p = softmax(r)
// with running maxima, slices summed in fp32 and added up in fp64.
#pragma once

#include <cstdint>
#include <span>

#include "model/language_model.h"

namespace vq {

/// How two models' choices of a token compare. Of tokens with the same logit the first counts as
/// the likelier.
struct Choice {
    bool same_top = false;     ///< both models' most likely tokens are the same
    bool top_in_five = false;  ///< the reference's is among the model's five most likely
    bool right = false;        ///< the model's most likely token is the target
    bool reference_right = false;
};

/// Results, one a token; each array has targets.size() elements. Those of the second group are
/// null or all there; they need a reference.
struct TokenLosses {
    double* nll = nullptr;  ///< -log p(target), in nats

    double* reference_nll = nullptr;
    double* kl = nullptr;  ///< KL(reference || model), in nats; never below 0
    Choice* choice = nullptr;
};

/// hidden (targets.size(), hidden_size) is what LanguageModel::forward left for the tokens before
/// the targets. `reference` may be null; else its vocabulary has the same size as the model's.
void token_losses(const LanguageModel& model, const float* hidden, const LanguageModel* reference,
                  const float* reference_hidden, std::span<const TokenId> targets,
                  const TokenLosses& out);

/// Throws Error when a loss is not finite; `where` says of what.
void check_losses(const double* nll, Index tokens, const char* where);

}  // namespace vq
