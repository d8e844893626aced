// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/scalar_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace vq {
namespace {

std::vector<float> values_of(Grid grid, int bits) {
    return scalar_grid(grid, bits)->parameters();
}

/// Error on a Gaussian with the scale that suits the grid best.
double best_distortion(Grid grid, int bits) {
    constexpr Index n = 20000;
    std::vector<float> x(n);
    for (Index i = 0; i < n; ++i)
        x[i] = static_cast<float>(random_normal(3, static_cast<std::uint64_t>(i)));
    const auto code = scalar_grid(grid, bits);
    double least = 1;
    for (int step = 0; step < 28; ++step) {
        const float scale = 0.5F * std::pow(1.05F, static_cast<float>(step));
        std::vector<float> scaled(n);
        std::vector<float> xhat(n);
        std::vector<std::uint64_t> codes(n);
        for (Index i = 0; i < n; ++i) scaled[i] = x[i] / scale;
        code->encode(scaled.data(), n, nullptr, codes.data(), xhat.data());
        double error = 0;
        double size = 0;
        for (Index i = 0; i < n; ++i) {
            error += std::pow(x[i] - scale * xhat[i], 2);
            size += x[i] * x[i];
        }
        least = std::min(least, error / size);
    }
    return least;
}

TEST(ScalarGrid, HaveTheirSizeAscendAndMirror) {
    for (const Grid grid : {Grid::gaussian, Grid::uniform, Grid::floating, Grid::normal_float})
        for (const int bits : scalar_grid_bits(grid)) {
            const std::vector<float> v = values_of(grid, bits);
            ASSERT_EQ(v.size(), std::size_t{1} << bits);
            EXPECT_TRUE(std::is_sorted(v.begin(), v.end()));
            if (grid == Grid::normal_float) {
                EXPECT_EQ(std::count(v.begin(), v.end(), 0.0F), 1);
                EXPECT_EQ(v.front(), -v.back());
                continue;
            }
            if (grid == Grid::uniform && bits > 1) {
                EXPECT_EQ(v[v.size() / 2], 0.0F);
                EXPECT_EQ(v[1], -v.back());
                continue;
            }
            for (std::size_t i = 0; i < v.size(); ++i) EXPECT_EQ(v[i], -v[v.size() - 1 - i]);
        }
}

TEST(ScalarGrid, UniformHasEqualSteps) {
    const std::vector<float> v = values_of(Grid::uniform, 4);
    for (std::size_t i = 1; i < v.size(); ++i)
        EXPECT_NEAR(v[i] - v[i - 1], 0.3386, 4 * 0x1p-10);  // fp16 near 2.5
}

// The published tables: QLoRA 2305.14314, appendix E; E2M1 as 0, .5, 1, 1.5, 2, 3, 4, 6.
TEST(ScalarGrid, NormalFloatAndFloatingAreThePublishedTablesUpToScale) {
    const std::vector<double> nf4 = {-1.0,    -0.6962, -0.5251, -0.3949, -0.2844, -0.1848,
                                     -0.0911, 0.0,     0.0796,  0.1609,  0.2461,  0.3379,
                                     0.4407,  0.5626,  0.7230,  1.0};
    const std::vector<float> nf = values_of(Grid::normal_float, 4);
    for (std::size_t i = 0; i < nf4.size(); ++i) EXPECT_NEAR(nf[i] / nf.back(), nf4[i], 1e-3);
    const std::vector<double> fp4 = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    const std::vector<float> fp = values_of(Grid::floating, 4);
    for (std::size_t i = 0; i < fp4.size(); ++i)
        EXPECT_NEAR(fp[8 + i] / fp.back() * 6, fp4[i], 1e-2);
    const std::vector<float> fp3 = values_of(Grid::floating, 3);
    EXPECT_NEAR(fp3[7] / fp3[6], 2.0F, 1e-3F);
    EXPECT_NEAR(fp3[6] / fp3[5], 2.0F, 1e-3F);
}

// Max 1960, table 1.
TEST(ScalarGrid, GaussianIsThePublishedLloydMaxTable) {
    EXPECT_NEAR(values_of(Grid::gaussian, 1)[1], 0.7980, 1e-3);
    const std::vector<float> two = values_of(Grid::gaussian, 2);
    EXPECT_NEAR(two[2], 0.4528, 1e-3);
    EXPECT_NEAR(two[3], 1.510, 1e-3);
    const std::vector<float> four = values_of(Grid::gaussian, 4);
    EXPECT_NEAR(four[8], 0.1284, 1e-3);
    EXPECT_NEAR(four[15], 2.733, 2e-3);
}

// The tables of Max 1960 and its continuations; at high rates Panter and Dite's pi sqrt(3) / 2
// 4^-b.
TEST(ScalarGrid, GaussianHasThePublishedDistortion) {
    const double known[] = {0.3634, 0.1175, 0.03454, 0.009497, 0.002499, 0.0006442, 0.0001634};
    for (int bits = 1; bits <= 7; ++bits)
        EXPECT_NEAR(gaussian_distortion(values_of(Grid::gaussian, bits)), known[bits - 1],
                    0.01 * known[bits - 1])
            << bits;
    const double eight = gaussian_distortion(values_of(Grid::gaussian, 8));
    EXPECT_NEAR(eight, 2.7207 * std::pow(4.0, -8), 0.02 * eight);
}

TEST(ScalarGrid, DistortionIsThatOfNearestRounding) {
    for (const Grid grid : {Grid::gaussian, Grid::uniform, Grid::floating, Grid::normal_float}) {
        const auto code = scalar_grid(grid, 3);
        constexpr Index n = 200000;
        std::vector<float> x(n);
        for (Index i = 0; i < n; ++i)
            x[i] = static_cast<float>(random_normal(9, static_cast<std::uint64_t>(i)));
        std::vector<float> xhat(n);
        std::vector<std::uint64_t> codes(n);
        code->encode(x.data(), n, nullptr, codes.data(), xhat.data());
        double sum = 0;
        for (Index i = 0; i < n; ++i) sum += std::pow(double{x[i]} - xhat[i], 2);
        const double expected = gaussian_distortion(code->parameters());
        // Six standard errors of the mean of squares.
        EXPECT_NEAR(sum / n, expected, 6 * 2 * expected / std::sqrt(double{n}));
    }
}

TEST(ScalarGrid, NoneBeatsLloydMaxOnAGaussian) {
    for (const int bits : {2, 3, 4}) {
        const double lloyd = best_distortion(Grid::gaussian, bits);
        for (const Grid grid : {Grid::uniform, Grid::normal_float, Grid::floating}) {
            const double mse = best_distortion(grid, bits);
            EXPECT_GT(mse, 0.999 * lloyd) << scalar_grid_name(grid, bits);
            EXPECT_LT(mse, 2.5 * lloyd) << scalar_grid_name(grid, bits);
        }
    }
}

TEST(ScalarGrid, SizesWithoutAGridAreRefused) {
    EXPECT_THROW(scalar_grid(Grid::floating, 1), Error);
    EXPECT_THROW(scalar_grid(Grid::uniform, 9), Error);
}

}  // namespace
}  // namespace vq
