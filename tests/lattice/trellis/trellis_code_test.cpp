// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/trellis_code.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "lattice/trellis/trellis_function.h"

namespace vq {
namespace {

std::vector<float> gaussian(Index n, std::uint64_t seed) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i)
        x[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return x;
}

double squared(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = static_cast<double>(a[i]) - b[i];
        sum += d * d;
    }
    return sum;
}

struct Encoded {
    std::vector<std::uint64_t> codes;
    std::vector<float> xhat;
};

Encoded encode(const TrellisCode& code, const std::vector<float>& x) {
    const auto n = static_cast<Index>(x.size()) / code.dim();
    Encoded e{std::vector<std::uint64_t>(static_cast<std::size_t>(n * code.words())),
              std::vector<float>(x.size())};
    code.encode(x.data(), n, nullptr, e.codes.data(), e.xhat.data());
    return e;
}

TEST(TrellisCode, DecodeGivesWhatTheEncoderReported) {
    for (int bits = 1; bits <= 4; ++bits)
        for (const int steps : {32, 96, 192}) {
            const TrellisCode code(steps, bits, 16);
            ASSERT_EQ(code.bits(), steps * bits);
            const std::vector<float> x = gaussian(Index{3} * steps, 1);
            const Encoded e = encode(code, x);
            std::vector<float> decoded(x.size());
            code.decode(e.codes.data(), 3, decoded.data());
            EXPECT_EQ(decoded, e.xhat) << bits << " bits, " << steps << " steps";
            for (int i = 0; i < 3; ++i) EXPECT_TRUE(code.valid(&e.codes[i * code.words()]));
        }
}

TEST(TrellisCode, StatesAreWindowsOfACyclicStream) {
    const TrellisCode code(32, 2, 16);  // 64 bits, one word
    const std::uint64_t stream = 0x123456789ABCDEF5;
    std::vector<float> xhat(32);
    code.decode(&stream, 1, xhat.data());
    for (int r = 0; r < 32; ++r) {
        const std::uint64_t turned = r == 0 ? stream : stream >> (2 * r) | stream << (64 - 2 * r);
        const auto state = static_cast<std::uint16_t>(turned);
        EXPECT_EQ(xhat[r], trellis_gain(2) *
                               static_cast<float>(trellis_integer(state, trellis_multiplier(2))))
            << r;
    }
}

TEST(TrellisCode, BitsPastTheEndAreInvalid) {
    const TrellisCode code(48, 2, 16);  // 96 bits
    const std::uint64_t good[2] = {~0ull, (1ull << 32) - 1};
    const std::uint64_t bad[2] = {0, 1ull << 32};
    EXPECT_TRUE(code.valid(good));
    EXPECT_FALSE(code.valid(bad));
}

/// Held-out Gaussian data at 2 bits: Shannon's bound is .0625, the best vector codes of 8 weights
/// reach .0895. The bounds leave 3 standard deviations of the sample.
TEST(TrellisCode, DistortionOfGaussianData) {
    const double most[] = {0.285, 0.0715, 0.0186, 0.0050};
    for (int bits = 1; bits <= 4; ++bits) {
        const TrellisCode code(256, bits, 128);
        const std::vector<float> x = gaussian(256 * 100, 7);
        const double mse =
            squared(x, encode(code, x).xhat) / squared(x, std::vector<float>(x.size()));
        EXPECT_LT(mse, most[bits - 1]) << bits << " bits";
        EXPECT_NEAR(mse, trellis_distortion(bits), 0.05 * mse) << bits << " bits";
    }
}

TEST(TrellisCode, ImproveIsNeverWorseThanTheCodeAtHand) {
    const TrellisCode code(64, 2, 16);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Encoded e = encode(code, gaussian(64, seed));
        // The target moves, as it does when other columns have been corrected.
        std::vector<float> x = gaussian(64, seed);
        const std::vector<float> moved = gaussian(64, seed + 100);
        for (int i = 0; i < 64; ++i) x[i] += 0.1F * moved[i];
        const double before = squared(x, e.xhat);
        code.improve(x.data(), 1, nullptr, e.codes.data(), e.xhat.data());
        const double rounding = 64 * (0x1p-12 + 2 * 4 * 0x1p-13);
        EXPECT_LE(squared(x, e.xhat), before + rounding);
        std::vector<float> decoded(64);
        code.decode(e.codes.data(), 1, decoded.data());
        EXPECT_EQ(decoded, e.xhat);
    }
}

TEST(TrellisCode, TileRowsPadLittleAndAreEvenInNumberWhereTheyCanBe) {
    EXPECT_EQ(trellis_tile_rows(1), 32);
    EXPECT_EQ(trellis_tile_rows(33), 64);
    EXPECT_EQ(trellis_tile_rows(192), 192);
    EXPECT_EQ(trellis_tile_rows(576), 288);
    EXPECT_EQ(trellis_tile_rows(1536), 256);
    EXPECT_EQ(trellis_tile_rows(4096), 256);
    EXPECT_EQ(11008 % trellis_tile_rows(11008), 0);
    for (Index rows = 1; rows < 3000; rows += 7) {
        const Index t = trellis_tile_rows(rows);
        EXPECT_EQ(t % 32, 0);
        EXPECT_LE(t, 320);
        const Index padded = (rows + t - 1) / t * t;
        EXPECT_LT(padded, rows + t);
    }
}

}  // namespace
}  // namespace vq
