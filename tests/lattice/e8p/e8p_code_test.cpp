// SPDX-License-Identifier: Apache-2.0
#include "lattice/e8p/e8p_code.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.h"
#include "lattice/e8p/e8p_table.h"

namespace vq {
namespace {

Matrix gaussian(Index n, std::uint64_t seed) {
    Matrix x(n, 8);
    for (Index i = 0; i < x.size(); ++i)
        x.data()[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return x;
}

double distortion(const E8pCode& code, const Matrix& x) {
    std::vector<std::uint64_t> codes(static_cast<std::size_t>(x.rows()));
    Matrix xhat(x.rows(), 8);
    code.encode(x.data(), x.rows(), nullptr, codes.data(), xhat.data());
    return (x - xhat).cast<double>().squaredNorm() / x.cast<double>().squaredNorm();
}

TEST(E8pTable, PointsAreDistinctPointsOfTheShiftedLattice) {
    std::set<std::array<int, 8>> seen;
    for (int code = 0; code < 65536; ++code) {
        float p[8];
        e8p_decode(static_cast<std::uint16_t>(code), p);
        // p - 1/4 is in E8: all whole or all half-odd coordinates, with an even sum.
        std::array<int, 8> twice{};
        int sum = 0;
        for (int i = 0; i < 8; ++i) {
            const float t = 2 * (p[i] - 0.25F);
            ASSERT_EQ(t, std::round(t));
            twice[static_cast<std::size_t>(i)] = static_cast<int>(t);
            sum += static_cast<int>(t);
        }
        for (const int t : twice) ASSERT_EQ((t % 2 + 2) % 2, (twice[0] % 2 + 2) % 2);
        ASSERT_EQ((sum % 4 + 4) % 4, 0);
        seen.insert(twice);
    }
    EXPECT_EQ(seen.size(), 65536u);
}

TEST(E8pTable, ShortVectorsAreTheRootsOfE8AndItsAxes) {
    std::set<std::vector<float>> seen;
    int roots = 0;
    for (Index k = 0; k < 256; ++k) {
        const auto v = e8_short_vectors().row(k);
        seen.insert(std::vector<float>(v.data(), v.data() + 8));
        roots += v.squaredNorm() == 2.0F ? 1 : 0;
    }
    EXPECT_EQ(seen.size(), 256u);
    EXPECT_EQ(roots, 240);
}

TEST(E8pTable, NearestIsThatOfBruteForceOverAllCodes) {
    Matrix points(65536, 8);
    for (int code = 0; code < 65536; ++code)
        e8p_decode(static_cast<std::uint16_t>(code), points.data() + Index{code} * 8);
    for (const float size : {0.3F, 1.0F, 3.0F}) {
        const Matrix x = size * gaussian(40, 1);
        for (Index i = 0; i < x.rows(); ++i) {
            const Vector d = (points.rowwise() - x.row(i)).rowwise().squaredNorm();
            std::uint16_t codes[4];
            float distances[4];
            e8p_nearest(x.data() + i * 8, 1, codes, distances);
            EXPECT_LE(d(codes[0]), d.minCoeff() * (1 + 1e-5F));
            EXPECT_NEAR(distances[0], d(codes[0]), 1e-5F * (1 + x.row(i).squaredNorm()));
            e8p_nearest(x.data() + i * 8, 4, codes, distances);
            for (int k = 1; k < 4; ++k) EXPECT_LE(distances[k - 1], distances[k]);
        }
    }
}

// Bounds: QuIP#'s table and its residual stages; Shannon: 2^-2R = .0625, .0156, .0039.
TEST(E8pCode, GaussianDistortionIsThatOfThePaper) {
    const Matrix x = gaussian(12000, 5);
    EXPECT_LT(distortion(E8pCode({16}, 16), x), 0.0925);
    const Matrix few = x.topRows(2000);
    EXPECT_LT(distortion(E8pCode({16, 8}, 8), few), 0.030);
    EXPECT_LT(distortion(E8pCode({16, 16}, 8), few), 0.0085);
}

TEST(E8pCode, DecodingGivesWhatTheEncoderReported) {
    const Matrix x = 2.0F * gaussian(50, 2);
    const Matrix a = gaussian(8, 3);
    const Matrix metric = a.transpose() * a + 0.1F * Matrix::Identity(8, 8);
    for (const std::vector<int>& stages : E8pCode::stage_choices()) {
        const E8pCode code(stages, 8);
        for (const float* m : {static_cast<const float*>(nullptr), metric.data()}) {
            std::vector<std::uint64_t> codes(50);
            Matrix xhat(50, 8);
            Matrix decoded(50, 8);
            code.encode(x.data(), 50, m, codes.data(), xhat.data());
            for (const std::uint64_t& c : codes) EXPECT_TRUE(code.valid(&c));
            code.decode(codes.data(), 50, decoded.data());
            EXPECT_EQ(xhat, decoded);
        }
    }
}

TEST(E8pCode, ComparingInTheMetricNeverCostsMoreInIt) {
    const Matrix x = gaussian(200, 4);
    const Matrix a = gaussian(8, 6);
    const Matrix metric = a.transpose() * a + 0.1F * Matrix::Identity(8, 8);
    const auto cost = [&](const float* m, int beam) {
        std::vector<std::uint64_t> codes(200);
        Matrix xhat(200, 8);
        E8pCode({16}, beam).encode(x.data(), 200, m, codes.data(), xhat.data());
        const Matrix e = x - xhat;
        return (e * metric).cwiseProduct(e).sum();
    };
    EXPECT_LT(cost(metric.data(), 16), 0.9F * cost(nullptr, 16));
    EXPECT_LT(cost(metric.data(), 64), cost(metric.data(), 4));
}

TEST(E8pCode, HugeAndZeroTargetsStillGetACode) {
    Matrix x = Matrix::Constant(2, 8, 1e30F);
    x.row(1).setZero();
    std::vector<std::uint64_t> codes(2);
    Matrix xhat(2, 8);
    E8pCode({16, 16}, 4).encode(x.data(), 2, nullptr, codes.data(), xhat.data());
    EXPECT_TRUE(xhat.allFinite());
}

}  // namespace
}  // namespace vq
