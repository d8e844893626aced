// SPDX-License-Identifier: Apache-2.0
// How many bits each column of a layer gets when its code works at a few rates, 1..4 bits a weight
// for a trellis and 1..8 for scalar grids, and the layer's budget lies between them. Under feedback,
// column k costs D_k delta(R_k) in proxy loss, D from H = L D L^T and delta(R) the code's distortion
// at rate R; without, D is the diagonal of H. The least loss at a given number of bits is reverse
// water-filling in steps of the rate (CVXQ 2409.02026: with delta = 2^-2R, R is
// (log2 D - log2 lambda)/2, lambda so that the budget is met). D falls along the order in which
// columns do not yet have others to make good for them, or along one sorted by it, so that columns
// of one rate lie together and a layer needs no more codes than there are rates.
#pragma once

#include <vector>

#include "base/codes/rates.h"
#include "base/matrix.h"

namespace vq {

/// A run of columns at one rate, in column order.
struct RateRun {
    HalfBits rate;
    Index cols = 0;
};

/// Columns that change rate together: 16 where that divides n, else 1.
Index rate_step(Index n);

/// Bits that `rate` bits a weight buy for one row of n columns: the largest multiple of a step (of
/// the rate, times columns that change together) that is at most rate * n, from n columns at the
/// least rate to n at the most.
double column_bits(Index n, double rate, const RateRange& range);

/// The runs of least sum_k D_k delta(R_k) with sum_k R_k = column_bits(n, rate), with rates that
/// only fall or only rise along the columns. d: size (n), >= 0. distortions[i]: delta of
/// range.at(i). With more than four rates delta must be convex, and the plan is the least one where
/// d only falls or only rises.
std::vector<RateRun> plan_column_rates(const VectorD& d, double rate,
                                       const std::vector<double>& distortions,
                                       const RateRange& range);

}  // namespace vq
