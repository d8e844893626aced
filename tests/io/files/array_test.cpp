// SPDX-License-Identifier: Apache-2.0
#include "io/files/array.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "io/files/checked_math.h"

namespace vq {
namespace {

TEST(Array, FloatsComeBackAsTheirTypeKeepsThem) {
    const float values[] = {0.0F, 1.0F, -2.5F, 1.0F / 3.0F, 65504.0F, 1e-8F};
    const Array f32 = Array::from_f32({2, 3}, values);
    EXPECT_EQ(f32.count(), 6);
    EXPECT_EQ(f32.to_f32(), std::vector<float>(values, values + 6));
    const std::vector<float> halves = Array::from_f16({6}, values).to_f32();
    EXPECT_EQ(halves[2], -2.5F);
    EXPECT_EQ(halves[3], 0x1.554p-2F);  // 11 significant bits
    EXPECT_EQ(halves[4], 65504.0F);
    EXPECT_EQ(halves[5], 0.0F);  // less than half of the least half
}

TEST(Array, IntegersAreLittleEndian) {
    const std::vector<std::uint32_t> values = {0, 1, 258, 65535};
    const Array narrow = Array::from_integers(ElementType::u16, values);
    EXPECT_EQ(narrow.bytes, (std::vector<std::uint8_t>{0, 0, 1, 0, 2, 1, 255, 255}));
    EXPECT_EQ(narrow.to_u32(), values);
    const std::vector<std::uint32_t> large = {65536, 0xFFFFFFFF};
    EXPECT_EQ(Array::from_integers(ElementType::u32, large).to_u32(), large);
    EXPECT_THROW(Array::from_integers(ElementType::u16, large), InternalError);
    EXPECT_THROW(Array::from_integers(ElementType::u8, values), InternalError);
}

TEST(Array, IndicesTakeTheNarrowTypeAsLongAsTheyFit) {
    EXPECT_EQ(index_type(65536), ElementType::u16);  // 0 .. 65535
    EXPECT_EQ(index_type(65537), ElementType::u32);
}

TEST(Array, BytesThatDoNotFillTheShapeAreRefused) {
    Array a = Array::from_f32({2}, std::vector<float>{1, 2}.data());
    a.bytes.pop_back();
    EXPECT_THROW(a.to_f32(), InternalError);
    EXPECT_THROW(a.to_u32(), InternalError);  // not of integers
}

TEST(CheckedMath, ProductsThatDoNotFitAreNothing) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(checked_product(most, 1), most);
    EXPECT_EQ(checked_product(0, most), 0);
    EXPECT_EQ(checked_product(most / 2 + 1, 2), std::nullopt);
    EXPECT_EQ(checked_product(-1, 1), std::nullopt);
    const std::int64_t shape[] = {3, 4, 5};
    EXPECT_EQ(checked_count(shape), 60);
    EXPECT_EQ(checked_count({}), 1);
    const std::int64_t wrapping[] = {std::int64_t{1} << 32, std::int64_t{1} << 32, 0};
    EXPECT_EQ(checked_count(wrapping), std::nullopt);
    const std::int64_t negative[] = {2, -1};
    EXPECT_EQ(checked_count(negative), std::nullopt);
}

}  // namespace
}  // namespace vq
