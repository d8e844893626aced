// SPDX-License-Identifier: Apache-2.0
#include "codebooks/iq4nl/iq4nl_code.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/bits.h"
#include "base/half.h"
#include "base/matrix.h"
#include "base/rng.h"
#include "codebooks/iq4nl/iq4nl.h"
#include "codebooks/iq4nl/iq4nl_family.h"

namespace vq {
namespace {

constexpr int d = Iq4nlCode::block;

struct Encoded {
    std::vector<std::uint64_t> codes;
    std::vector<float> xhat;
};

Encoded encode(const std::vector<float>& x, const float* metric = nullptr) {
    const Iq4nlCode code;
    const auto n = static_cast<Index>(x.size()) / d;
    // Whatever was there before must not shine through.
    Encoded out{std::vector<std::uint64_t>(static_cast<std::size_t>(n * code.words()), ~0ULL),
                std::vector<float>(x.size())};
    code.encode(x.data(), n, metric, out.codes.data(), out.xhat.data());
    return out;
}

std::vector<float> normal(Index n, float size, std::uint64_t seed = 7) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i)
        x[static_cast<std::size_t>(i)] =
            size * static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return x;
}

double squared_error(const std::vector<float>& x, const std::vector<float>& y) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
        sum += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
    return sum;
}

TEST(Iq4nlCode, DecodeIsWhatTheEncoderReportedAndPackingKeepsIt) {
    const Iq4nlCode code;
    EXPECT_EQ(code.bits(), 144);
    EXPECT_EQ(code.words(), 3);
    const Index n = 37;
    const Encoded e = encode(normal(n * d, 1));
    std::vector<float> again(e.xhat.size());
    code.decode(e.codes.data(), n, again.data());
    EXPECT_EQ(again, e.xhat);
    for (Index i = 0; i < n; ++i)
        EXPECT_TRUE(code.valid(&e.codes[static_cast<std::size_t>(i * code.words())]));
    const std::vector<std::uint8_t> packed = pack_codes(e.codes, n, code.bits());
    EXPECT_EQ(static_cast<Index>(packed.size()), n * 18);
    EXPECT_EQ(unpack_codes(packed, n, code.bits()), e.codes);
}

TEST(Iq4nlCode, MultiplesOfTheLevelsComeBack) {
    for (const float scale : {0.0078125F, -2.0F}) {  // exact in fp16
        std::vector<float> x;
        for (int j = 0; j < d; ++j)
            x.push_back(scale * static_cast<float>(
                                    Iq4nlCode::levels[static_cast<std::size_t>(j * 5 % 16)]));
        EXPECT_EQ(encode(x).xhat, x);
    }
}

TEST(Iq4nlCode, ZerosStayZerosAndExtremesStayFinite) {
    const std::vector<float> zeros(d, 0.0F);
    EXPECT_EQ(encode(zeros).xhat, zeros);
    std::vector<float> large(d, 0.0F);
    large[3] = 3e38F;
    const Encoded e = encode(large);
    for (const float v : e.xhat) EXPECT_TRUE(std::isfinite(v));
    EXPECT_GT(e.xhat[3], 84 * 65504.0F);  // one of the outer levels times the largest fp16 number
}

/// .00536 of the variance as measured; a uniform 4-bit grid with the block's largest weight at its
/// end has .0074.
TEST(Iq4nlCode, GaussianDistortion) {
    const Index n = 4096;
    const std::vector<float> x = normal(n * d, 1, 11);
    const double mse = squared_error(x, encode(x).xhat) / static_cast<double>(n * d);
    EXPECT_LT(mse, 0.0055);
    EXPECT_GT(mse, 0.0052);
}

TEST(Iq4nlCode, NoOtherScaleOfTheSameCodesIsBetter) {
    const std::vector<float> x = normal(64 * d, 0.02F, 3);
    const Encoded e = encode(x);
    for (const float factor : {0.99F, 1.01F}) {
        std::vector<float> other = e.xhat;
        for (float& v : other) v *= factor;
        EXPECT_LT(squared_error(x, e.xhat), squared_error(x, other));
    }
}

TEST(Iq4nlCode, AFullMetricLowersTheErrorUnderIt) {
    Matrix a(d, d);
    for (Index i = 0; i < a.size(); ++i)
        a.data()[i] = static_cast<float>(random_normal(5, static_cast<std::uint64_t>(i)));
    const Matrix metric = a * a.transpose() + Matrix::Identity(d, d);
    const std::vector<float> x = normal(128 * d, 1, 9);
    const auto loss = [&](const std::vector<float>& xhat) {
        double sum = 0;
        for (std::size_t b = 0; b < x.size(); b += d) {
            Eigen::Matrix<double, d, 1> err;
            for (std::size_t j = 0; j < d; ++j)
                err(static_cast<Index>(j)) =
                    static_cast<double>(x[b + j]) - static_cast<double>(xhat[b + j]);
            sum += err.dot(metric.cast<double>() * err);
        }
        return sum;
    };
    EXPECT_LT(loss(encode(x, metric.data()).xhat), 0.75 * loss(encode(x).xhat));
}

TEST(Iq4nlCode, DamagedCodesAreRefused) {
    const Iq4nlCode code;
    Encoded e = encode(normal(d, 1));
    std::vector<std::uint64_t> infinite = e.codes;
    write_field(infinite.data(), 0, 16, 0x7C00);
    EXPECT_FALSE(code.valid(infinite.data()));
    std::vector<std::uint64_t> long_code = e.codes;
    long_code[2] |= 1ULL << 16;
    EXPECT_FALSE(code.valid(long_code.data()));
}

TEST(Iq4nlCode, KernelsKnowTheSameLevels) {
    for (std::size_t q = 0; q < 16; ++q)
        EXPECT_EQ(static_cast<int>(decode::iq4nl_bytes[q]) - decode::iq4nl_offset,
                  Iq4nlCode::levels[q]);
}

TEST(Iq4nlFamily, KnowsItsOnlySize) {
    CodeSettings s;
    s.kind = "iq4nl";
    s.dim = 32;
    s.stage_bits = {4};
    iq4nl_family.check(s);
    EXPECT_EQ(iq4nl_family.stages(s, 144), (std::vector<std::vector<int>>{{4}}));
    EXPECT_TRUE(iq4nl_family.stages(s, 128).empty());
    s.dim = 16;
    EXPECT_ANY_THROW(iq4nl_family.check(s));
}

}  // namespace
}  // namespace vq
