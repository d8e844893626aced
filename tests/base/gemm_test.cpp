// SPDX-License-Identifier: Apache-2.0
#include "base/gemm.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "base/rng.h"

namespace vq {
namespace {

template <class M>
M random_matrix(Index rows, Index cols, std::uint64_t seed) {
    M m(rows, cols);
    for (Index i = 0; i < m.size(); ++i)
        m.data()[i] =
            static_cast<typename M::Scalar>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return m;
}

/// Largest |c - op(A) op(B)| in units of k * epsilon * (|op(A)| |op(B)|), the bound on the error of
/// a dot product of length k in any order of summation.
template <class M>
double worst_error(const M& a, bool ta, const M& b, bool tb, const M& c) {
    MatrixD x = a.template cast<double>();
    MatrixD y = b.template cast<double>();
    if (ta) x = MatrixD(x.transpose());
    if (tb) y = MatrixD(y.transpose());
    double worst = 0;
    for (Index i = 0; i < x.rows(); ++i) {
        for (Index j = 0; j < y.cols(); ++j) {
            long double sum = 0, magnitude = 0;
            for (Index k = 0; k < x.cols(); ++k) {
                sum += static_cast<long double>(x(i, k)) * y(k, j);
                magnitude += std::abs(static_cast<long double>(x(i, k)) * y(k, j));
            }
            const double unit = double(x.cols()) * double(magnitude) *
                                std::numeric_limits<typename M::Scalar>::epsilon();
            worst = std::max(worst, std::abs(double(sum) - double(c(i, j))) / unit);
        }
    }
    return worst;
}

/// Bytes that `make` returns at 1, 2 and 3 threads, which must be the same.
template <class M>
void expect_same_at_any_thread_count(const std::function<M()>& make) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    const M one = make();
    for (const int threads : {2, 3}) {
        omp_set_num_threads(threads);
        const M many = make();
        ASSERT_EQ(many.size(), one.size());
        EXPECT_EQ(std::memcmp(one.data(), many.data(),
                              sizeof(typename M::Scalar) * static_cast<std::size_t>(one.size())),
                  0)
            << threads << " threads";
    }
    omp_set_num_threads(before);
}

template <class M>
class Matmul : public testing::Test {};
using Scalars = testing::Types<Matrix, MatrixD>;
TYPED_TEST_SUITE(Matmul, Scalars);

TYPED_TEST(Matmul, EqualsTheDefinitionInEveryOrientationAndAtAwkwardSizes) {
    const Index sizes[][3] = {{1, 1, 1},    {1, 7, 3},    {7, 1, 5},      {3, 5, 1},
                              {17, 33, 65}, {64, 48, 32}, {130, 257, 63}, {5, 300, 2}};
    for (const auto& [m, n, k] : sizes) {
        for (const bool ta : {false, true}) {
            for (const bool tb : {false, true}) {
                const auto a = random_matrix<TypeParam>(ta ? k : m, ta ? m : k, 1);
                const auto b = random_matrix<TypeParam>(tb ? n : k, tb ? k : n, 2);
                TypeParam c;
                matmul(a, ta, b, tb, c);
                ASSERT_EQ(c.rows(), m);
                ASSERT_EQ(c.cols(), n);
                EXPECT_LT(worst_error(a, ta, b, tb, c), 1.0)
                    << m << " x " << n << " x " << k << ' ' << ta << tb;
            }
        }
    }
}

TYPED_TEST(Matmul, SameBytesAtAnyThreadCount) {
    const auto a = random_matrix<TypeParam>(517, 260, 3);
    const auto b = random_matrix<TypeParam>(260, 331, 4);
    expect_same_at_any_thread_count<TypeParam>([&] {
        TypeParam c;
        matmul(a, false, b, false, c);
        return c;
    });
}

TEST(SgemmSerial, AddsToScaledCAndHonoursRowStrides) {
    const Index m = 9, n = 13, k = 21, lda = 25, ldb = 17, ldc = 19;
    const Matrix a = random_matrix<Matrix>(m, lda, 1);
    const Matrix b = random_matrix<Matrix>(k, ldb, 2);
    const Matrix before = random_matrix<Matrix>(m, ldc, 3);
    Matrix c = before;
    sgemm_serial(false, false, m, n, k, 0.5F, a.data(), lda, b.data(), ldb, 2.0F, c.data(), ldc);
    const MatrixD product = a.leftCols(k).cast<double>() * b.leftCols(n).cast<double>() * 0.5;
    for (Index i = 0; i < m; ++i) {
        for (Index j = 0; j < ldc; ++j) {
            if (j < n)
                EXPECT_NEAR(c(i, j), product(i, j) + 2.0 * double(before(i, j)), 2e-5);
            else
                EXPECT_EQ(c(i, j), before(i, j)) << "wrote between the rows of C";
        }
    }
}

TEST(SgemmSerial, BetaZeroNeverReadsC) {
    const Matrix a = random_matrix<Matrix>(4, 5, 1);
    const Matrix b = random_matrix<Matrix>(5, 6, 2);
    Matrix c = Matrix::Constant(4, 6, std::numeric_limits<float>::quiet_NaN());
    sgemm_serial(false, false, 4, 6, 5, 1.0F, a.data(), 5, b.data(), 6, 0.0F, c.data(), 6);
    EXPECT_TRUE(c.allFinite());
}

TEST(Gram, EqualsTheDefinitionAndIsSymmetric) {
    for (const Index tokens : {0, 1, 255, 256, 257, 700}) {
        const Index n = 37;
        const Matrix x = random_matrix<Matrix>(tokens, n, 5);
        MatrixD h = MatrixD::Constant(n, n, 3.0);  // it adds
        add_gram(x.data(), tokens, n, h);
        const MatrixD xd = x.cast<double>();
        const MatrixD expected = xd.transpose() * xd + MatrixD::Constant(n, n, 3.0);
        const MatrixD magnitude = xd.cwiseAbs().transpose() * xd.cwiseAbs();
        for (Index i = 0; i < n; ++i) {
            for (Index j = 0; j < n; ++j) {
                EXPECT_NEAR(h(i, j), expected(i, j), 256 * 0x1p-24 * magnitude(i, j) + 1e-12);
                EXPECT_EQ(h(i, j), h(j, i));
            }
        }
    }
}

TEST(Gram, SameBytesAtAnyThreadCount) {
    const Matrix x = random_matrix<Matrix>(1000, 300, 6);
    expect_same_at_any_thread_count<MatrixD>([&] {
        MatrixD h = MatrixD::Zero(300, 300);
        add_gram(x.data(), 1000, 300, h);
        return h;
    });
}

MatrixD positive_definite(Index n, std::uint64_t seed) {
    const MatrixD x = random_matrix<MatrixD>(n, n, seed);
    return x * x.transpose() + MatrixD::Identity(n, n) * 0.1;
}

TEST(Cholesky, FactorIsLowerAndMultipliesBack) {
    for (const Index n : {1, 2, 31, 64, 65, 200, 300}) {
        const MatrixD a = positive_definite(n, 7);
        MatrixD l = a;
        ASSERT_TRUE(cholesky_lower(l));
        for (Index i = 0; i < n; ++i) {
            EXPECT_GT(l(i, i), 0);
            for (Index j = i + 1; j < n; ++j) ASSERT_EQ(l(i, j), 0.0) << i << ' ' << j;
        }
        // |A - L L^T| <= (n + 1) epsilon |L| |L|^T, the textbook bound of the factorization.
        const MatrixD bound = l.cwiseAbs() * l.cwiseAbs().transpose() * (double(n) + 1) * 0x1p-52;
        EXPECT_LE(((a - l * l.transpose()).cwiseAbs() - 2 * bound).maxCoeff(), 0) << n;
    }
}

TEST(Cholesky, IndefiniteMatrixIsRefused) {
    MatrixD a = positive_definite(150, 8);
    a(140, 140) = -1;
    EXPECT_FALSE(cholesky_lower(a));
    MatrixD zero = MatrixD::Zero(3, 3);
    EXPECT_FALSE(cholesky_lower(zero));
}

TEST(Cholesky, SameBytesAtAnyThreadCount) {
    const MatrixD a = positive_definite(411, 9);
    expect_same_at_any_thread_count<MatrixD>([&] {
        MatrixD l = a;
        EXPECT_TRUE(cholesky_lower(l));
        return l;
    });
}

}  // namespace
}  // namespace vq
