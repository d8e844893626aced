// SPDX-License-Identifier: Apache-2.0
// Shares out bits among the tensors of a plan whose codes have rates: all alike, or by what an error
// of each costs at the model's output (CVXQ, arXiv 2409.02026; Radio, arXiv 2505.03031).
#pragma once

#include "vq/run/plan.h"

namespace vq {

/// Whether share_rates() may change a tensor: a linear layer of a code with rates, of which nothing
/// but its importance was given.
bool is_free(const TensorPlan& tensor);

/// Bits of the codes of all free tensors.
double free_bits(const ModelPlan& plan);

/// Gives the free tensors rates whose codes take at most `bits` in all, as nearly as whole columns
/// allow: each takes the columns that fit and hands on the rest. Equal importance: equal bits a
/// weight. Else every column takes another bit where that takes away more of
///   importance x 4^-bits x its own weight
/// for what it costs than anywhere else. What columns weigh is known only once a tensor is
/// quantized; here their logarithms are taken to spread normally (column_spread).
void share_rates(double bits, ModelPlan& plan);

/// Between these an importance is meant, beyond them mistyped.
inline constexpr double least_importance = 1e-6;
inline constexpr double most_importance = 1e6;

/// Standard deviation of the logarithm of what columns of a layer weigh.
inline constexpr double column_spread = 0.4;

}  // namespace vq
