// SPDX-License-Identifier: Apache-2.0
// Scalar grids as tables of bytes.
#include "codebooks/scalar/grid.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "codebooks/residual/scalar_grid.h"

namespace vq {
namespace {

TEST(Grid, GridsOfEqualStepsAreExactIn8BitsAndOutliersDoNotFit) {
    for (int bits = 1; bits <= 4; ++bits) {
        std::vector<float> even(std::size_t{1} << bits);
        for (std::size_t e = 0; e < even.size(); ++e)
            even[e] = 0.25F * static_cast<float>(2 * static_cast<int>(e) + 1 - (1 << bits));
        const decode::GridTable t = decode::round_grid(even.data(), bits);
        for (std::size_t e = 0; e < 64; ++e)
            EXPECT_NEAR((t.bytes[e] - 128) * t.step, even[e % even.size()],
                        4 * std::numeric_limits<float>::epsilon());
        EXPECT_TRUE(decode::grid_fits(even.data(), bits));
        for (const Grid grid : {Grid::gaussian, Grid::uniform, Grid::normal_float, Grid::floating})
            for (const int b : scalar_grid_bits(grid))
                if (b == bits)
                    EXPECT_TRUE(decode::grid_fits(scalar_grid(grid, b)->codebooks()[0].data(), b))
                        << scalar_grid_name(grid, b);
        const std::vector<float> zeros(even.size(), 0.0F);
        EXPECT_EQ(decode::round_grid(zeros.data(), bits).bytes[0], 128);
    }
    std::vector<float> learned = {-1.0F, -0.9F, -0.8F, -0.75F, -0.66F, -0.5F, -0.45F, 0.0F,
                                  0.1F,  0.2F,  0.25F, 0.35F,  0.41F,  0.6F,  0.85F,  40.0F};
    EXPECT_GT(decode::round_grid(learned.data(), 4).error, 1e-3);
    EXPECT_FALSE(decode::grid_fits(learned.data(), 4));
    learned.back() = 1.1F;
    EXPECT_TRUE(decode::grid_fits(learned.data(), 4));
}

}  // namespace
}  // namespace vq
