// SPDX-License-Identifier: Apache-2.0
#include "base/codes/code_array.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"

namespace vq {
namespace {

std::vector<std::uint64_t> random_codes(Index count, int bits) {
    const int words = (bits + 63) / 64;
    std::vector<std::uint64_t> out(static_cast<std::size_t>(count * words));
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = random_bits(static_cast<std::uint64_t>(bits), i);
        const bool last = (i + 1) % static_cast<std::size_t>(words) == 0;
        if (last && bits % 64 != 0) out[i] &= (1ULL << (bits % 64)) - 1;
    }
    return out;
}

TEST(CodeArray, KeepsCodesOfEveryWidth) {
    for (const int bits : {1, 3, 8, 9, 16, 17, 32, 33, 64, 65, 194, 272, 512}) {
        const std::vector<std::uint64_t> codes = random_codes(101, bits);
        const CodeArray all(codes, bits);
        EXPECT_EQ(all.count(), 101) << bits;
        EXPECT_EQ(all.unpacked(), codes) << bits;
        CodeArray piecewise(101, bits);
        EXPECT_NE(piecewise, all) << bits;
        for (Index first = 0; first < 101; first += 7) {
            const Index n = std::min<Index>(7, 101 - first);
            piecewise.write(first, n, codes.data() + first * all.words());
        }
        EXPECT_EQ(piecewise, all) << bits;
        std::vector<std::uint64_t> some(static_cast<std::size_t>(5 * all.words()));
        all.read(42, 5, some.data());
        EXPECT_TRUE(std::equal(some.begin(), some.end(), codes.begin() + 42 * all.words())) << bits;
    }
}

TEST(CodeArray, TakesAByteForAGridOfSingleWeights) {
    EXPECT_EQ(CodeArray(1000, 3).bytes(), 1000);
    EXPECT_EQ(CodeArray(1000, 8).bytes(), 1000);
    EXPECT_EQ(CodeArray(1000, 9).bytes(), 2000);
    EXPECT_EQ(CodeArray(1000, 18).bytes(), 4000);
    EXPECT_EQ(CodeArray(1000, 33).bytes(), 8000);
    EXPECT_EQ(CodeArray(1000, 272).bytes(), 40000);
}

}  // namespace
}  // namespace vq
