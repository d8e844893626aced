// SPDX-License-Identifier: Apache-2.0
// Random layers for tests: weights, and inputs that are correlated as activations are.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/gemm.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "vq/layer/hessian.h"

namespace vq::test {

inline Matrix gaussian(Index rows, Index cols, std::uint64_t seed) {
    Matrix m(rows, cols);
    for (Index i = 0; i < m.size(); ++i)
        m.data()[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return m;
}

/// Inputs x = z A with a spectrum that falls off, so that feedback has something to use.
inline Matrix correlated_inputs(Index tokens, Index n, std::uint64_t seed) {
    Matrix mix = gaussian(n, n, seed + 1);
    for (Index i = 0; i < n; ++i) mix.row(i) *= 1.0F / std::sqrt(1.0F + static_cast<float>(i));
    return gaussian(tokens, n, seed) * mix;
}

inline HessianSum hessian_of(const Matrix& x) {
    HessianSum sum(x.cols());
    sum.add(x.data(), x.rows());
    return sum;
}

/// tr(E H E^T) in plain double precision.
inline double exact_proxy(const Matrix& e, const MatrixD& h) {
    const MatrixD ed = e.cast<double>();
    return (ed * h).cwiseProduct(ed).sum();
}

/// Rows of a matrix that is there as a whole.
inline std::function<void(Index, Index, float*)> rows_of(const Matrix& g) {
    return [&g](Index row0, Index rows, float* out) {
        std::copy_n(g.data() + row0 * g.cols(), rows * g.cols(), out);
    };
}

using Threads = ThreadScope;

}  // namespace vq::test
