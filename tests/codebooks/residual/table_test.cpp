// SPDX-License-Identifier: Apache-2.0
// Codebooks as tables of bytes.
#include "codebooks/residual/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace vq {
namespace {

TEST(Table, CodewordsAreRoundedToTheNearestByteAndPaddedWithZeros) {
    constexpr int dim = 3;
    constexpr decode::Index entries = 512;
    std::vector<float> values(dim * entries);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(random_normal(3, i));
    const decode::ByteCodebook book = decode::round_codebook(values.data(), entries, dim);
    EXPECT_TRUE(book.fits);
    ASSERT_EQ(book.bytes.size(), 8u * entries);
    for (std::size_t e = 0; e < std::size_t{entries}; ++e)
        for (std::size_t k = 0; k < 8; ++k) {
            const float whole = static_cast<float>(book.bytes[8 * e + k]) - 128;
            if (k < dim)
                EXPECT_LE(std::fabs(whole * book.step - values[dim * e + k]), 0.5001F * book.step);
            else
                EXPECT_EQ(whole, 0.0F);
        }
}

/// Steps of largest / 127 cost a twelfth of their square, 2e-4 of the variance where the largest
/// value is 6.2 deviations.
TEST(Table, CodebooksWithOutliersDoNotFit) {
    std::vector<float> values(8 * 4096);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(random_normal(4, i));
    for (const auto& [outlier, fits] : {std::pair{5.5F, true}, {6.8F, false}, {100.0F, false}}) {
        values[17] = outlier;
        EXPECT_EQ(decode::round_codebook(values.data(), 4096, 8).fits, fits) << outlier;
    }
    // Few codewords, whose variance is that of the outlier.
    std::vector<float> few = {-1.5F, -0.5F, 0.5F, 1.5F, -1, 0.3F, 0.9F, 30};
    EXPECT_FALSE(decode::round_codebook(few.data(), 4, 2).fits);
    few.back() = 2;
    EXPECT_TRUE(decode::round_codebook(few.data(), 4, 2).fits);
    const std::vector<float> zeros(64, 0.0F);
    EXPECT_TRUE(decode::round_codebook(zeros.data(), 8, 8).fits);
    for (const std::uint8_t byte : decode::round_codebook(zeros.data(), 8, 8).bytes)
        ASSERT_EQ(byte, 128);
}

}  // namespace
}  // namespace vq
