// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/residual_family.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace vq {
namespace {

using Stages = std::vector<std::vector<int>>;

CodeSettings settings(int dim, CodebookScope scope) {
    CodeSettings s;
    s.dim = dim;
    s.scope = scope;
    return s;
}

TEST(ResidualFamily, BitsAreCutIntoStagesThatItsCodebooksCanHave) {
    CodeSettings own = settings(8, CodebookScope::tensor);
    own.most_stage_bits = 8;
    for (const auto& stages : residual_family.stages(own, 20)) {
        int sum = 0;
        for (const int bits : stages) {
            EXPECT_LE(bits, 8);
            sum += bits;
        }
        EXPECT_EQ(sum, 20);
    }
    EXPECT_EQ(residual_family.stages(own, 20).size(), 1U);
    EXPECT_EQ(residual_family.stages(own, 65), Stages{}) << "no code has more than 64 bits";
    EXPECT_FALSE(residual_family.stages(settings(8, CodebookScope::universal), 16).empty());
    EXPECT_EQ(residual_family.stages(settings(1, CodebookScope::universal), 3), (Stages{{3}}));
    EXPECT_THROW(residual_family.stages(settings(7, CodebookScope::universal), 16), Error);
}

TEST(ResidualFamily, FixedGridsAreForSingleWeights) {
    CodeSettings s = settings(1, CodebookScope::universal);
    s.grid = Grid::normal_float;
    s.stage_bits = {4};
    EXPECT_NO_THROW(residual_family.check(s));
    s.dim = 2;
    EXPECT_THROW(residual_family.check(s), Error);
    s.dim = 1;
    s.scope = CodebookScope::tensor;
    EXPECT_THROW(residual_family.check(s), Error);
}

TEST(ResidualFamily, CodebooksAreCountedInSixteenBitsWithThoseOfOutliers) {
    CodeSettings s = settings(4, CodebookScope::tensor);
    s.stage_bits = {3, 2};
    EXPECT_EQ(residual_family.codebook_bits(s), 16.0 * 4 * (8 + 4));
    s.outliers = 0.1;
    s.outlier_dim = 2;
    s.outlier_bits = 5;
    EXPECT_EQ(residual_family.codebook_bits(s), 16.0 * 4 * (8 + 4) + 16.0 * 2 * 32);
}

}  // namespace
}  // namespace vq
