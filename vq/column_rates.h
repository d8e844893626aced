// How many bits each column of a layer gets when its code works at whole bits a weight, K = 1..4,
// and the layer's budget does not. Under feedback, column k costs D_k delta(K_k) in proxy loss, D
// from H = L D L^T and delta(K) the code's distortion at K bits: reverse water-filling in whole
// bits. D falls along the order in which columns do not yet have others to make good for them, so
// that columns of one rate lie together and a layer needs at most four codes.
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

/// Column-bits that `rate` bits a weight buy for n columns: the largest multiple of rate_step(n)
/// that is at most rate * n. rate in [1, 4].
Index column_bits(Index n, double rate);

/// Rates that a plan may use.
struct RateRange {
    int least = 1;
    int most = 4;
};

/// The runs of least sum_k D_k delta(K_k) with sum_k K_k = column_bits(n, rate), with rates that
/// only fall or only rise along the columns. d: size (n), >= 0. distortion[K - 1]: delta(K).
std::vector<RateRun> plan_column_rates(const VectorD& d, double rate,
                                       const std::vector<double>& distortion, RateRange range);

}  // namespace vq
