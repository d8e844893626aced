// SPDX-License-Identifier: Apache-2.0
#include "io/files/mxfp4.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace vq::test {
namespace {

TEST(Mxfp4, DecodesEveryValueOfTheFormat) {
    // Sign, two bits of exponent with bias 1, one of mantissa; 0 1 is a half.
    const float expected[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    std::vector<std::uint8_t> blocks(32);
    for (std::size_t i = 0; i < 16; ++i) {
        blocks[i / 2] = static_cast<std::uint8_t>(blocks[i / 2] | i << (i % 2 == 0 ? 0 : 4));
        blocks[16 + i] = 0x10;
    }
    const std::uint8_t scales[2] = {127, 130};
    std::vector<float> values(64);
    mxfp4_to_float(blocks.data(), scales, 2, values.data());
    for (std::size_t i = 0; i < 16; ++i)
        EXPECT_EQ(values[i], i < 8 ? expected[i] : -expected[i - 8]) << i;
    for (std::size_t i = 16; i < 32; ++i) EXPECT_EQ(values[i], 0) << i;
    for (std::size_t i = 0; i < 16; ++i) {
        EXPECT_EQ(values[32 + 2 * i], 0) << "the lower half of a byte comes first";
        EXPECT_EQ(values[33 + 2 * i], 4) << "0.5 times 2^3";
    }
}

}  // namespace
}  // namespace vq::test
