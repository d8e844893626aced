// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_family.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace vq {
namespace {

CodeSettings settings(int bits) {
    CodeSettings s;
    s.kind = "bitmod";
    s.dim = 128;
    s.stage_bits = {bits};
    return s;
}

TEST(BitmodFamily, AGroupsBitsTellThoseOfItsWeights) {
    for (const int bits : {3, 4}) {
        const int group = bitmod_family.vector_bits(settings(bits), {bits});
        EXPECT_GT(group, bits * 128) << "a scale and the choice of the special value";
        EXPECT_LT(group, bits * 128 + 32);
        EXPECT_EQ(bitmod_family.stages(settings(bits), group),
                  (std::vector<std::vector<int>>{{bits}}));
        EXPECT_TRUE(bitmod_family.stages(settings(bits), group + 1).empty());
    }
}

TEST(BitmodFamily, RefusesWhatDoesNotGoTogether) {
    EXPECT_NO_THROW(bitmod_family.check(settings(3)));
    EXPECT_THROW(bitmod_family.check(settings(2)), Error);
    CodeSettings along = settings(3);
    along.along = Along::outputs;
    EXPECT_THROW(bitmod_family.check(along), Error);
    CodeSettings outliers = settings(3);
    outliers.outliers = 0.1;
    EXPECT_THROW(bitmod_family.check(outliers), Error);
    CodeSettings grid = settings(3);
    grid.grid = Grid::uniform;
    EXPECT_THROW(bitmod_family.check(grid), Error);
}

}  // namespace
}  // namespace vq
