// SPDX-License-Identifier: Apache-2.0
#include "base/hadamard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/error.h"

namespace vq {

namespace {

constexpr std::array<int, 4> orders = {12, 20, 28, 36};
constexpr int largest_order = 36;

std::int64_t power_below(std::int64_t n) {
    return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
}

/// Quadratic character of Z/q, q prime: 0, 1 or -1.
int quadratic_character(int a, int q) {
    a = (a % q + q) % q;
    if (a == 0) return 0;
    for (int b = 1; b < q; ++b)
        if (b * b % q == a) return 1;
    return -1;
}

/// Entry of the bordered Jacobsthal matrix of order q + 1, with sign s in the first column.
int conference_entry(int q, int s, int i, int j) {
    if (i == 0) return j == 0 ? 0 : 1;
    if (j == 0) return s;
    return quadratic_character(i - j, q);
}

int paley_first(int q, int i, int j) {  // q = 3 mod 4: I + skew core
    return conference_entry(q, -1, i, j) + (i == j ? 1 : 0);
}

int paley_second(int q, int i, int j) {  // q = 1 mod 4: C (x) [1 1; 1 -1] + I (x) [1 -1; -1 -1]
    const int v = conference_entry(q, 1, i / 2, j / 2);
    const int e = i / 2 == j / 2 ? 1 : 0;
    if (i % 2 == 0) return j % 2 == 0 ? v + e : v - e;
    return j % 2 == 0 ? v - e : -v - e;
}

struct SmallHadamard {
    std::array<std::uint64_t, largest_order> plus{};  ///< bit j of row i: the entry is +1
};

SmallHadamard make_small(int p) {
    SmallHadamard h;
    for (int i = 0; i < p; ++i)
        for (int j = 0; j < p; ++j) {
            const int entry = p == 1    ? 1
                              : p == 12 ? paley_first(11, i, j)
                              : p == 20 ? paley_first(19, i, j)
                              : p == 28 ? paley_second(13, i, j)
                                        : paley_second(17, i, j);
            if (entry > 0) h.plus[static_cast<std::size_t>(i)] |= 1ull << j;
        }
    return h;
}

const SmallHadamard& small(int p) {
    static const SmallHadamard h1 = make_small(1);
    static const SmallHadamard h12 = make_small(12);
    static const SmallHadamard h20 = make_small(20);
    static const SmallHadamard h28 = make_small(28);
    static const SmallHadamard h36 = make_small(36);
    VQ_ASSERT(p == 1 || std::find(orders.begin(), orders.end(), p) != orders.end());
    return p == 1 ? h1 : p == 12 ? h12 : p == 20 ? h20 : p == 28 ? h28 : h36;
}

/// Butterflies over m = 2^a values.
template <class T>
void butterflies(T* y, std::int64_t m) {
    for (std::int64_t h = 1; h < m; h *= 2)
        for (std::int64_t i = 0; i < m; i += 2 * h)
            for (std::int64_t j = i; j < i + h; ++j) {
                const T a = y[j];
                const T b = y[j + h];
                y[j] = a + b;
                y[j + h] = a - b;
            }
}

template <class T>
void transform_block(T* x, std::int64_t n, bool transpose, T* scratch) {
    const int p = hadamard_order(n);
    VQ_ASSERT(p > 0);
    const std::int64_t m = n / p;
    // The Kronecker product of the two, one after the other: within parts of 2^a, then between
    // them.
    for (std::int64_t part = 0; part < p; ++part) butterflies(x + part * m, m);
    if (p > 1) {
        std::copy_n(x, n, scratch);
        for (int i = 0; i < p; ++i) {
            T* y = x + i * m;
            for (std::int64_t k = 0; k < m; ++k) y[k] = 0;
            for (int j = 0; j < p; ++j) {
                const T* from = scratch + j * m;
                if (transpose ? hadamard_plus(p, j, i) : hadamard_plus(p, i, j))
                    for (std::int64_t k = 0; k < m; ++k) y[k] += from[k];
                else
                    for (std::int64_t k = 0; k < m; ++k) y[k] -= from[k];
            }
        }
    }
    // Once at the end: butterflies alone are sums and differences.
    const T norm = static_cast<T>(1.0 / std::sqrt(static_cast<double>(n)));
    for (std::int64_t i = 0; i < n; ++i) x[i] *= norm;
}

}  // namespace

int hadamard_order(std::int64_t n) {
    if (std::has_single_bit(static_cast<std::uint64_t>(n))) return 1;
    for (const int p : orders)
        if (n % p == 0 && std::has_single_bit(static_cast<std::uint64_t>(n / p))) return p;
    return 0;
}

std::int64_t next_hadamard_block(std::int64_t n) {
    VQ_ASSERT(n >= 1);
    if (hadamard_order(n) > 0) return n;
    std::int64_t best = power_below(n);
    for (const int p : orders)
        if (n >= p) best = std::max(best, p * power_below(n / p));
    return best;
}

std::vector<std::int64_t> hadamard_blocks(std::int64_t n) {
    std::vector<std::int64_t> blocks;
    VQ_ASSERT(n >= 1);
    for (; n > 0; n -= blocks.back()) blocks.push_back(next_hadamard_block(n));
    return blocks;
}

bool hadamard_plus(int p, int i, int j) {
    return (small(p).plus[static_cast<std::size_t>(i)] >> j & 1u) != 0;
}

void hadamard_block(float* x, std::int64_t n, bool transpose, float* scratch) {
    transform_block(x, n, transpose, scratch);
}
void hadamard_block(double* x, std::int64_t n, bool transpose, double* scratch) {
    transform_block(x, n, transpose, scratch);
}

}  // namespace vq
