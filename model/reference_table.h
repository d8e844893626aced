// SPDX-License-Identifier: Apache-2.0
// ReferenceTable: a reference model's predictions at every place of a text, without the model: the k
// likeliest tokens with their log-probabilities, and the probability of all others together. The
// divergence from it,
//   sum_{j in top} p_j (log p_j - log q_j) + p_rest (log p_rest - log q_rest),
// is that of the distributions whose other tokens are one: never above the whole divergence (the
// log-sum inequality), and below it by what happens among tokens that the reference hardly believes
// in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/language_model.h"
#include "model/token_loss.h"

namespace vq {

struct ReferenceTable {
    ReferenceTable() = default;
    ReferenceTable(Index vocabulary, Index kept, Index places);

    Index vocab_size = 0;
    Index k = 0;                     ///< tokens kept of a place
    std::vector<std::uint32_t> ids;  ///< (places, k), ascending in each row
    std::vector<float> log_p;        ///< (places, k), nats
    std::vector<float> rest;         ///< (places), the probability of all other tokens
    std::vector<std::uint32_t> top;  ///< (places), the likeliest token
    std::vector<double> nll;         ///< (places), -log p of the text's token

    Index places() const { return static_cast<Index>(nll.size()); }
    /// Of the five arrays.
    std::int64_t bytes() const;
    /// Mean of `rest`: the share of probability of which only the sum is kept.
    double mean_rest() const;
};

/// Fills rows first, first + 1, ... of `table` for the targets; hidden (targets.size(), hidden_size)
/// is what the head reads before each of them. Rows may be filled by several threads.
void likeliest_tokens(const LanguageModel& model, const float* hidden,
                      std::span<const TokenId> targets, Index first, ReferenceTable& table);

/// token_losses() with rows first, first + 1, ... of a table as the reference.
void token_losses(const LanguageModel& model, const float* hidden, const ReferenceTable& table,
                  Index first, std::span<const TokenId> targets, const TokenLosses& out);

}  // namespace vq
