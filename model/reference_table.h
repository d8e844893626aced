// SPDX-License-Identifier: Apache-2.0
// ReferenceTable: a reference model's predictions at every place of a text, without the model: the k
// likeliest tokens with their log-probabilities, the probability of all others together, and a
// sample of those. Its divergence is
//   sum_{j in top} p_j (log p_j - log q_j) + p_rest c + sum_{j in sample} w_j (log p_j - log q_j - c)
// with c = log p_rest - log q_rest. The first two terms are the divergence of distributions whose
// other tokens are one, and by the log-sum inequality never above the whole one (on a model of
// 49,152 tokens, k = 64, 16% below it). The third one estimates what is missing without bias: the
// sample is a priority sample (Duffield, Lund and Thorup 2007), with m of the others, the priority
// of each p_j over a random number, and w_j the larger of p_j and the (m + 1)th priority. A single
// place may come out below 0; the mean over places has the error of its windows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/language_model.h"
#include "model/token_loss.h"

namespace vq {

struct ReferenceTable {
    ReferenceTable() = default;
    /// `likeliest` tokens of each place and a sample of `sampled` others, or as many as there are.
    ReferenceTable(Index vocabulary, Index likeliest, Index sampled, Index places);

    Index vocab_size = 0;
    Index k = 0;  ///< likeliest tokens of a place
    Index m = 0;  ///< others in the sample of a place
    Index kept() const { return k + m; }
    std::vector<std::uint32_t> ids;  ///< (places, k + m), ascending in each row
    std::vector<float> log_p;        ///< (places, k + m), nats
    std::vector<float> weight;       ///< (places, k + m): w_j of the sample; 0 for the likeliest
    std::vector<float> rest;         ///< (places), the probability of all but the likeliest
    std::vector<std::uint32_t> top;  ///< (places), the likeliest token
    std::vector<double> nll;         ///< (places), -log p of the text's token

    Index places() const { return static_cast<Index>(nll.size()); }
    /// Of the six arrays.
    std::int64_t bytes() const;
    /// Mean of `rest`: the share of probability of which only the sum and a sample are kept.
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
