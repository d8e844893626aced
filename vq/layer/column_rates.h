// How many bits each column of a layer gets when its code works at whole bits a weight, K = 1..4
// for a trellis and 1..8 for scalar grids, and the layer's budget does not. Under feedback, column
// k costs D_k delta(K_k) in proxy loss, D from H = L D L^T and delta(K) the code's distortion at K
// bits; without, D is the diagonal of H. The least loss at a given number of bits is reverse
// water-filling in whole bits (CVXQ 2409.02026: with delta = 2^-2K, K is (log2 D - log2 lambda)/2,
// lambda so that the budget is met). D falls along the order in which columns do not yet have
// others to make good for them, or along one sorted by it, so that columns of one rate lie together
// and a layer needs no more codes than there are rates.
#pragma once

#include <vector>

#include "base/matrix.h"

namespace vq {

/// A run of columns at one rate, in column order.
struct RateRun {
    int bits = 0;
    Index cols = 0;
};

/// Columns that change rate together: 16 where that divides n, else 1.
Index rate_step(Index n);

/// Rates that a plan may use.
struct RateRange {
    int least = 1;
    int most = 4;
    Index step = 0;  ///< columns that change rate together; 0: rate_step(n)
};

/// Column-bits that `rate` bits a weight buy for n columns: the largest multiple of the step that
/// is at most rate * n, from least to most bits a column.
Index column_bits(Index n, double rate, const RateRange& range = {});

/// The runs of least sum_k D_k delta(K_k) with sum_k K_k = column_bits(n, rate), with rates that
/// only fall or only rise along the columns. d: size (n), >= 0. distortion[K - 1]: delta(K), up to
/// range.most at least. With more than four rates delta must be convex, and the plan is the least
/// one where d only falls or only rises.
std::vector<RateRun> plan_column_rates(const VectorD& d, double rate,
                                       const std::vector<double>& distortion, RateRange range);

}  // namespace vq
