// SPDX-License-Identifier: Apache-2.0
#include "base/bits.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace vq {
namespace {

std::vector<std::uint64_t> random_values(std::int64_t count, int width, std::uint64_t seed) {
    std::vector<std::uint64_t> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = random_bits(seed, i) >> (64 - width);
    return values;
}

TEST(Bits, UnpackInvertsPackAtEveryWidthAndCount) {
    for (int width = 1; width <= 64; ++width) {
        for (const std::int64_t count : {0, 1, 3, 7, 8, 9, 63, 64, 65, 1001}) {
            const auto values = random_values(count, width, static_cast<std::uint64_t>(width));
            const auto bytes = pack_bits(values, width);
            ASSERT_EQ(static_cast<std::int64_t>(bytes.size()), packed_bytes(count, width));
            ASSERT_EQ(unpack_bits(bytes, count, width), values) << width << " bits, " << count;
        }
    }
}

TEST(Bits, UnpackCodesInvertsPackCodesAtWidthsOverAWord) {
    for (const int width : {7, 64, 65, 72, 96, 128, 272, 500}) {
        const int words = (width + 63) / 64;
        auto codes = random_values(std::int64_t{9} * words, 64, static_cast<std::uint64_t>(width));
        if (width % 64 != 0)
            for (std::size_t i = static_cast<std::size_t>(words) - 1; i < codes.size();
                 i += static_cast<std::size_t>(words))
                codes[i] &= (1ull << (width % 64)) - 1;
        const auto bytes = pack_codes(codes, 9, width);
        ASSERT_EQ(static_cast<std::int64_t>(bytes.size()), packed_bytes(9, width));
        for (int i = 0; i < 9 * width; ++i)
            EXPECT_EQ(
                bytes[i / 8] >> (i % 8) & 1,
                static_cast<int>(codes[i / width * words + i % width / 64] >> (i % width % 64) & 1))
                << width << " bits";
        EXPECT_EQ(unpack_codes(bytes, 9, width), codes) << width << " bits";
    }
}

TEST(Bits, LargestValueOfEveryWidthSurvives) {
    for (int width = 1; width <= 64; ++width) {
        const std::vector<std::uint64_t> values(5, ~0ULL >> (64 - width));
        EXPECT_EQ(unpack_bits(pack_bits(values, width), 5, width), values) << width;
    }
}

TEST(Bits, StreamIsLeastSignificantBitFirst) {
    const std::vector<std::uint64_t> three = {0b101, 0b011, 0b110};  // 9 bits: 110 011 101
    EXPECT_EQ(pack_bits(three, 3), (std::vector<std::uint8_t>{0b10011101, 0b1}));
    const std::vector<std::uint64_t> bytes = {0x34, 0x12};
    EXPECT_EQ(pack_bits(bytes, 8), (std::vector<std::uint8_t>{0x34, 0x12}));
    const std::vector<std::uint64_t> wide = {0x1234};
    EXPECT_EQ(pack_bits(wide, 16), (std::vector<std::uint8_t>{0x34, 0x12}));
}

TEST(Bits, ValueThatDoesNotFitIsRefused) {
    const std::vector<std::uint64_t> values = {1, 8};
    EXPECT_THROW(pack_bits(values, 3), InternalError);
    EXPECT_THROW(pack_bits(values, 0), InternalError);
    EXPECT_THROW(pack_bits(values, 65), InternalError);
}

TEST(Bits, ShortStreamIsRefused) {
    const std::vector<std::uint8_t> bytes(3);
    EXPECT_NO_THROW(unpack_bits(bytes, 8, 3));
    EXPECT_THROW(unpack_bits(bytes, 9, 3), InternalError);
}

TEST(Bits, FieldsOfACodeComeBackFromAnyPlace) {
    for (const int width : {1, 2, 3, 4, 13, 32}) {
        const int count = 200 / width;
        const auto values = random_values(count, width, static_cast<std::uint64_t>(width));
        std::vector<std::uint64_t> words(4, 0);
        for (int i = 0; i < count; ++i) write_field(words.data(), i * width, width, values[i]);
        for (int i = 0; i < count; ++i)
            EXPECT_EQ(read_field(words.data(), i * width, width), values[i]) << width << " " << i;
        // The layout is that of pack_bits().
        auto bytes = pack_bits(values, width);
        bytes.resize(words.size() * 8, 0);
        EXPECT_EQ(unpack_bits(bytes, 4, 64), words);
    }
}

}  // namespace
}  // namespace vq
