// SPDX-License-Identifier: Apache-2.0
#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace vq {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The value of half bits, from the definition of binary16.
double half_by_definition(Half h) {
    const int exponent = (h >> 10) & 31;
    const int fraction = h & 1023;
    const double sign = (h & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == 31) return fraction == 0 ? sign * infinity : std::nan("");
    if (exponent == 0) return sign * std::ldexp(fraction, -24);
    return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Half, EveryHalfHasTheValueOfItsDefinition) {
    for (int h = 0; h < 65536; ++h) {
        const double expected = half_by_definition(static_cast<Half>(h));
        const float actual = float_from_half(static_cast<Half>(h));
        if (std::isnan(expected))
            ASSERT_TRUE(std::isnan(actual)) << h;
        else
            ASSERT_EQ(actual, expected) << h;
        ASSERT_EQ(std::signbit(actual), (h & 0x8000) != 0) << h;
    }
}

TEST(Half, EveryHalfSurvivesTheRoundTrip) {
    for (int h = 0; h < 65536; ++h) {
        const float value = float_from_half(static_cast<Half>(h));
        const Half back = half_from_float(value);
        if (std::isnan(value))
            ASSERT_TRUE(std::isnan(float_from_half(back))) << h;
        else
            ASSERT_EQ(back, h);
    }
}

TEST(Half, RoundsToNearestAndTiesToEven) {
    for (int h = 0; h < 0x7BFF; ++h) {  // neighbours a < b, both finite
        const double a = half_by_definition(static_cast<Half>(h));
        const double b = half_by_definition(static_cast<Half>(h + 1));
        const auto middle = static_cast<float>((a + b) / 2);  // exact: one bit more than a half has
        ASSERT_EQ(half_from_float(middle), (h & 1) != 0 ? h + 1 : h) << h;
        ASSERT_EQ(half_from_float(std::nextafter(middle, 0.0F)), h) << h;
        ASSERT_EQ(half_from_float(std::nextafter(middle, infinity)), h + 1) << h;
        ASSERT_EQ(half_from_float(-middle), half_from_float(middle) | 0x8000) << h;
    }
}

TEST(Half, LargeValuesBecomeInfinityAndTinyOnesZero) {
    EXPECT_EQ(half_from_float(65504.0F), 0x7BFF);
    EXPECT_EQ(half_from_float(65519.996F), 0x7BFF);
    EXPECT_EQ(half_from_float(65520.0F), 0x7C00);
    EXPECT_EQ(half_from_float(1e30F), 0x7C00);
    EXPECT_EQ(half_from_float(-infinity), 0xFC00);
    EXPECT_EQ(half_from_float(std::ldexp(1.0F, -25)), 0);  // a tie, to even
    EXPECT_EQ(half_from_float(std::ldexp(1.5F, -25)), 1);
    EXPECT_EQ(half_from_float(std::numeric_limits<float>::denorm_min()), 0);
    EXPECT_TRUE(std::isnan(float_from_half(half_from_float(std::nanf("")))));
}

TEST(BFloat16, EveryValueSurvivesTheRoundTrip) {
    for (int b = 0; b < 65536; ++b) {
        const float value = float_from_bf16(static_cast<BFloat16>(b));
        if (std::isnan(value))
            ASSERT_TRUE(std::isnan(float_from_bf16(bf16_from_float(value)))) << b;
        else
            ASSERT_EQ(bf16_from_float(value), b);
    }
}

TEST(BFloat16, RoundsToNearestAndTiesToEven) {
    for (int b = 0; b < 0x7F7F; ++b) {
        const float middle = std::bit_cast<float>((static_cast<std::uint32_t>(b) << 16) | 0x8000U);
        ASSERT_EQ(bf16_from_float(middle), (b & 1) != 0 ? b + 1 : b) << b;
        ASSERT_EQ(bf16_from_float(std::nextafter(middle, 0.0F)), b) << b;
        ASSERT_EQ(bf16_from_float(std::nextafter(middle, infinity)), b + 1) << b;
    }
}

// Lengths around the widths of vector registers, so that kernels' tails are met too.
TEST(Half, BulkConvertersAgreeWithTheScalarOnes) {
    for (const std::int64_t n : {0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 1000}) {
        std::vector<float> x(static_cast<std::size_t>(n)), back(x.size()), bf_back(x.size());
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = static_cast<float>(random_normal(5, i) * std::pow(10.0, double(i % 9) - 5));
        std::vector<std::uint16_t> half(x.size()), bf(x.size());
        half_from_float(x.data(), n, half.data());
        float_from_half(half.data(), n, back.data());
        bf16_from_float(x.data(), n, bf.data());
        float_from_bf16(bf.data(), n, bf_back.data());
        for (std::size_t i = 0; i < x.size(); ++i) {
            EXPECT_EQ(half[i], half_from_float(x[i]));
            EXPECT_EQ(back[i], float_from_half(half[i]));
            EXPECT_EQ(bf[i], bf16_from_float(x[i]));
            EXPECT_EQ(bf_back[i], float_from_bf16(bf[i]));
        }
    }
}

}  // namespace
}  // namespace vq
