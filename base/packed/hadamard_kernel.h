// SPDX-License-Identifier: Apache-2.0
// The Hadamard transform of base/hadamard.h over a vector type V (width lanes of fp32), included by
// one source an instruction set: the same sums in the same order, so the same bits. V has: load,
// store, add, subtract, fmadd, multiply, set, and butterflies(v) over its lanes.
#pragma once

#include <cmath>

#include "base/hadamard.h"
#include "base/packed/hadamard_signs.h"

namespace vq::decode::hadamard_kernel {

namespace {

/// y_i = norm * sum_j sign(i, j) x_j for p vectors of m values. `Block` rows are summed at a time,
/// as many as registers hold. signs: [j][i].
template <class V, int P, int Block>
void mix(const float* x, Index m, const float* signs, float norm, float* y) {
    static_assert(P % Block == 0);
    const V scale = V::set(norm);
    for (Index k = 0; k < m; k += V::width)
        for (int i = 0; i < P; i += Block) {
            V sum[std::size_t{Block}];
            for (V& s : sum) s = V::set(0.0F);
            for (int j = 0; j < P; ++j) {
                const V v = V::load(x + j * m + k);
                // A product with 1 or -1 is exact, so that this rounds as a sum does.
                for (int b = 0; b < Block; ++b)
                    sum[b] = V::fmadd(V::set(signs[j * P + i + b]), v, sum[b]);
            }
            for (int b = 0; b < Block; ++b)
                V::store(y + (i + b) * m + k, V::multiply(sum[b], scale));
        }
}

template <class V>
void block(float* x, Index n, bool transpose, float* scratch) {
    const int p = hadamard_order(n);
    const Index m = n / p;
    if (m < V::width) {
        hadamard_block(x, n, transpose, scratch);
        return;
    }
    float* to = p == 1 ? x : scratch;
    for (Index i = 0; i < n; i += V::width) V::store(to + i, V::butterflies(V::load(x + i)));
    for (Index h = V::width; h < m; h *= 2)
        for (Index i = 0; i < n; i += 2 * h)
            for (Index j = i; j < i + h; j += V::width) {
                const V a = V::load(to + j);
                const V b = V::load(to + j + h);
                V::store(to + j, V::add(a, b));
                V::store(to + j + h, V::subtract(a, b));
            }
    const auto norm = static_cast<float>(1.0 / std::sqrt(static_cast<double>(n)));
    const float* signs = hadamard_signs(p, transpose);
    switch (p) {
        case 12: mix<V, 12, 12>(to, m, signs, norm, x); break;
        case 20: mix<V, 20, 10>(to, m, signs, norm, x); break;
        case 28: mix<V, 28, 14>(to, m, signs, norm, x); break;
        case 36: mix<V, 36, 12>(to, m, signs, norm, x); break;
        default:
            for (Index i = 0; i < n; i += V::width)
                V::store(x + i, V::multiply(V::load(x + i), V::set(norm)));
    }
}

}  // namespace

}  // namespace vq::decode::hadamard_kernel
