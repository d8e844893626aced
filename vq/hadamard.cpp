#include "vq/hadamard.h"

#include <bit>
#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"

namespace vq {

namespace {

constexpr Index orders[] = {36, 28, 20, 12};

/// p such that n = p * 2^a, preferring the smallest p; 0 when there is none.
Index odd_order(Index n) {
    if (std::has_single_bit(static_cast<std::uint64_t>(n))) return 1;
    for (const Index p : {12, 20, 28, 36})
        if (n % p == 0 && std::has_single_bit(static_cast<std::uint64_t>(n / p))) return p;
    return 0;
}

/// Quadratic character of Z/q, q prime: 0, 1 or -1.
int quadratic_character(Index a, Index q) {
    a %= q;
    if (a < 0) a += q;
    if (a == 0) return 0;
    for (Index b = 1; b < q; ++b)
        if (b * b % q == a) return 1;
    return -1;
}

/// The bordered Jacobsthal matrix of order q + 1, with `corner` sign s in the first column.
Matrix conference_core(Index q, float s) {
    Matrix c = Matrix::Zero(q + 1, q + 1);
    for (Index i = 1; i <= q; ++i) {
        c(0, i) = 1;
        c(i, 0) = s;
        for (Index j = 1; j <= q; ++j) c(i, j) = static_cast<float>(quadratic_character(i - j, q));
    }
    return c;
}

Matrix paley_first(Index q) {  // q = 3 mod 4: I + skew core
    return conference_core(q, -1) + Matrix::Identity(q + 1, q + 1);
}

Matrix paley_second(Index q) {  // q = 1 mod 4: C (x) [1 1; 1 -1] + I (x) [1 -1; -1 -1]
    const Matrix c = conference_core(q, 1);
    const Index n = q + 1;
    Matrix h(2 * n, 2 * n);
    for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < n; ++j) {
            const float v = c(i, j);
            const float e = i == j ? 1.0F : 0.0F;
            h(2 * i, 2 * j) = v + e;
            h(2 * i, 2 * j + 1) = v - e;
            h(2 * i + 1, 2 * j) = v - e;
            h(2 * i + 1, 2 * j + 1) = -v - e;
        }
    return h;
}

/// One block of length n in place: butterflies over the power of two, then H_p (or its transpose)
/// across the p parts. `scratch` holds p values.
template <class T>
void transform_block(T* x, Index n, bool transpose) {
    const Index p = odd_order(n);
    const Index m = n / p;
    for (Index part = 0; part < p; ++part) {
        T* y = x + part * m;
        for (Index h = 1; h < m; h *= 2)
            for (Index i = 0; i < m; i += 2 * h)
                for (Index j = i; j < i + h; ++j) {
                    const T a = y[j];
                    const T b = y[j + h];
                    y[j] = a + b;
                    y[j + h] = a - b;
                }
    }
    if (p > 1) {
        const Matrix& hp = small_hadamard(p);
        std::vector<T> copy(x, x + n);
        for (Index i = 0; i < p; ++i) {
            T* y = x + i * m;
            for (Index k = 0; k < m; ++k) y[k] = 0;
            for (Index j = 0; j < p; ++j) {
                const bool plus = (transpose ? hp(j, i) : hp(i, j)) > 0;
                const T* from = copy.data() + j * m;
                if (plus)
                    for (Index k = 0; k < m; ++k) y[k] += from[k];
                else
                    for (Index k = 0; k < m; ++k) y[k] -= from[k];
            }
        }
    }
    const T norm = static_cast<T>(1.0 / std::sqrt(static_cast<double>(n)));
    for (Index i = 0; i < n; ++i) x[i] *= norm;
}

template <class T>
void rotate_rows(T* x, Index rows, Index stride, const std::vector<float>& signs,
                 const std::vector<Index>& blocks, bool inverse) {
    constexpr Index batch = 16;
    const auto n = static_cast<Index>(signs.size());
    parallel_for((rows + batch - 1) / batch, [&](Index b) {
        for (Index r = b * batch; r < std::min(rows, (b + 1) * batch); ++r) {
            T* row = x + r * stride;
            if (!inverse)
                for (Index j = 0; j < n; ++j) row[j] *= static_cast<T>(signs[j]);
            Index at = 0;
            for (const Index length : blocks) {
                transform_block(row + at, length, inverse);
                at += length;
            }
            if (inverse)
                for (Index j = 0; j < n; ++j) row[j] *= static_cast<T>(signs[j]);
        }
    });
}

}  // namespace

const Matrix& small_hadamard(Index p) {
    static const Matrix h1 = Matrix::Ones(1, 1);
    static const Matrix h12 = paley_first(11);
    static const Matrix h20 = paley_first(19);
    static const Matrix h28 = paley_second(13);
    static const Matrix h36 = paley_second(17);
    VQ_ASSERT(p == 1 || p == 12 || p == 20 || p == 28 || p == 36);
    return p == 1 ? h1 : p == 12 ? h12 : p == 20 ? h20 : p == 28 ? h28 : h36;
}

std::vector<Index> hadamard_blocks(Index n) {
    VQ_ASSERT(n >= 1);
    std::vector<Index> blocks;
    while (n > 0) {
        Index best = static_cast<Index>(std::bit_floor(static_cast<std::uint64_t>(n)));
        if (odd_order(n) > 0) {
            best = n;
        } else {
            for (const Index p : orders)
                if (n >= p)
                    best = std::max(
                        best,
                        p * static_cast<Index>(std::bit_floor(static_cast<std::uint64_t>(n / p))));
        }
        blocks.push_back(best);
        n -= best;
    }
    return blocks;
}

RandomHadamard::RandomHadamard(Index n, std::uint64_t seed)
    : signs_(static_cast<std::size_t>(n)), blocks_(hadamard_blocks(n)) {
    for (Index i = 0; i < n; ++i) signs_[i] = random_sign(seed, static_cast<std::uint64_t>(i));
}

void RandomHadamard::forward(float* x, Index rows, Index stride) const {
    rotate_rows(x, rows, stride, signs_, blocks_, false);
}
void RandomHadamard::forward(double* x, Index rows, Index stride) const {
    rotate_rows(x, rows, stride, signs_, blocks_, false);
}
void RandomHadamard::inverse(float* x, Index rows, Index stride) const {
    rotate_rows(x, rows, stride, signs_, blocks_, true);
}

}  // namespace vq
