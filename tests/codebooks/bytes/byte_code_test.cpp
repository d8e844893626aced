// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bytes/byte_code.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/bits.h"
#include "base/half.h"
#include "base/rng.h"
#include "codebooks/bytes/byte_family.h"

namespace vq {
namespace {

constexpr int d = ByteCode::block;

struct Encoded {
    std::vector<std::uint64_t> codes;
    std::vector<float> xhat;
};

Encoded encode(const std::vector<float>& x) {
    const ByteCode code;
    const auto n = static_cast<Index>(x.size()) / d;
    // Whatever was there before must not shine through.
    Encoded out{std::vector<std::uint64_t>(static_cast<std::size_t>(n * code.words()), ~0ULL),
                std::vector<float>(x.size())};
    code.encode(x.data(), n, nullptr, out.codes.data(), out.xhat.data());
    return out;
}

std::vector<float> normal(Index n, float size) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i)
        x[i] = size * static_cast<float>(random_normal(7, static_cast<std::uint64_t>(i)));
    return x;
}

TEST(ByteCode, DecodeIsWhatTheEncoderReportedAndPackingKeepsIt) {
    const ByteCode code;
    EXPECT_EQ(code.bits(), 272);
    EXPECT_EQ(code.words(), 5);
    const Index n = 37;
    const Encoded e = encode(normal(n * d, 1));
    std::vector<float> again(e.xhat.size());
    code.decode(e.codes.data(), n, again.data());
    EXPECT_EQ(again, e.xhat);
    for (Index i = 0; i < n; ++i) EXPECT_TRUE(code.valid(&e.codes[i * code.words()]));
    const std::vector<std::uint8_t> packed = pack_codes(e.codes, n, code.bits());
    EXPECT_EQ(static_cast<Index>(packed.size()), n * 34);
    EXPECT_EQ(unpack_codes(packed, n, code.bits()), e.codes);
}

TEST(ByteCode, ErrsByHalfAStepAtMost) {
    for (const float size : {1e-6F, 1e-3F, 1.0F, 1e4F}) {
        const std::vector<float> x = normal(64 * d, size);
        const Encoded e = encode(x);
        for (std::size_t b = 0; b < x.size(); b += d) {
            float most = 0;
            for (std::size_t j = b; j < b + d; ++j) most = std::max(most, std::fabs(x[j]));
            // Half a step, and what 127 steps lose where fp16 rounded the step down: 2^-11 of the
            // largest value, or half of the smallest fp16 number a step.
            const float bound = most / 254 * 1.001F + most * 0x1p-11F + 127 * 0x1p-25F;
            for (std::size_t j = b; j < b + d; ++j) EXPECT_LE(std::fabs(e.xhat[j] - x[j]), bound);
        }
    }
}

TEST(ByteCode, KnownAnswers) {
    std::vector<float> x(d, 0.0F);
    x[0] = 127;
    x[1] = -127;
    x[2] = 0.5F;  // ties go to even
    x[3] = 1.5F;
    x[31] = -64.4F;
    const Encoded e = encode(x);
    // fp16 1.0, then bytes 127, -127, 0, 2, ... -64.
    EXPECT_EQ(e.codes[0], 0x3C00ULL | 0x7FULL << 16 | 0x81ULL << 24 | 0x02ULL << 40);
    EXPECT_EQ(e.codes[4], 0xC000ULL);
    EXPECT_EQ(e.xhat[0], 127);
    EXPECT_EQ(e.xhat[1], -127);
    EXPECT_EQ(e.xhat[2], 0);
    EXPECT_EQ(e.xhat[3], 2);
    EXPECT_EQ(e.xhat[31], -64);
}

TEST(ByteCode, ZerosTinyAndHugeValuesStayFinite) {
    const ByteCode code;
    std::vector<float> x(3 * d, 0.0F);
    x[d] = 1e-30F;    // below any fp16 scale: zero
    x[2 * d] = 1e9F;  // more than 127 times fp16's largest number
    x[2 * d + 1] = -3e38F;
    const Encoded e = encode(x);
    for (int j = 0; j < 2 * d; ++j) EXPECT_EQ(e.xhat[static_cast<std::size_t>(j)], 0);
    EXPECT_EQ(e.xhat[2 * d], 127 * 65504.0F);
    EXPECT_EQ(e.xhat[2 * d + 1], -127 * 65504.0F);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(code.valid(&e.codes[static_cast<std::size_t>(i * 5)]));
}

TEST(ByteCode, WhatNoEncoderWritesIsInvalid) {
    const ByteCode code;
    const Encoded e = encode(normal(d, 1));
    const auto with = [&](int at, int width, std::uint64_t value) {
        std::vector<std::uint64_t> out = e.codes;
        for (int b = 0; b < width; ++b) out[(at + b) / 64] &= ~(1ULL << ((at + b) % 64));
        write_field(out.data(), at, width, value);
        return code.valid(out.data());
    };
    EXPECT_TRUE(code.valid(e.codes.data()));
    EXPECT_FALSE(with(0, 16, 0x7C00));  // infinity
    EXPECT_FALSE(with(0, 16, 0x7E00));  // not a number
    EXPECT_FALSE(with(0, 16, 0xBC00));  // -1
    for (const int j : {0, 1, 5, 6, 31}) EXPECT_FALSE(with(16 + 8 * j, 8, 0x80)) << j;
    EXPECT_FALSE(with(272, 1, 1));
}

TEST(ByteFamily, HasOneSizeAndReadsItsOwnDescription) {
    CodeSettings s;
    s.kind = byte_family.name;
    s.dim = 32;
    for (const int bits : {1, 256, 271, 272, 273})
        EXPECT_EQ(byte_family.stages(s, bits).size(), bits == 272 ? 1U : 0U) << bits;
    s.stage_bits = byte_family.stages(s, 272).front();
    EXPECT_NO_THROW(byte_family.check(s));
    EXPECT_EQ(byte_family.vector_bits(s, s.stage_bits), 272);
    const CodePtr made = byte_family.make(s, {});
    const SpecFault fail = [](const std::string& what) { throw Error(what, "w", "mend it"); };
    const CodePtr parsed = byte_family.parse(made->describe(), nullptr, fail);
    EXPECT_EQ(parsed->describe(), made->describe());
    EXPECT_THROW(byte_family.parse({{"dim", 16}}, nullptr, fail), Error);
    EXPECT_THROW(byte_family.parse(Json::object(), nullptr, fail), Error);
    for (const auto change :
         {+[](CodeSettings& c) { c.dim = 8; }, +[](CodeSettings& c) { c.stage_bits = {4}; },
          +[](CodeSettings& c) { c.along = Along::outputs; },
          +[](CodeSettings& c) { c.outliers = 0.1; },
          +[](CodeSettings& c) { c.grid = Grid::uniform; }}) {
        CodeSettings other = s;
        change(other);
        EXPECT_THROW(byte_family.check(other), Error);
    }
}

}  // namespace
}  // namespace vq
