// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bitmod/bitmod_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"

namespace vq {
namespace {

Matrix gaussian(Index n, Index d, std::uint64_t seed) {
    Matrix x(n, d);
    for (Index i = 0; i < x.size(); ++i)
        x.data()[i] = static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i)));
    return x;
}

/// A A^T of a random A: a metric with strong correlations.
Matrix correlated_metric(Index d, std::uint64_t seed) {
    const Matrix a = gaussian(d, d, seed);
    return a * a.transpose() / static_cast<float>(d) + 0.05F * Matrix::Identity(d, d);
}

double loss(const Matrix& x, const Matrix& xhat, const Matrix& metric) {
    const MatrixD e = (x - xhat).cast<double>();
    return (e * metric.cast<double>()).cwiseProduct(e).sum();
}

struct Encoded {
    std::vector<std::uint64_t> codes;
    Matrix xhat;
};
Encoded encode(const Code& code, const Matrix& x, const float* metric) {
    Encoded out{std::vector<std::uint64_t>(static_cast<std::size_t>(x.rows() * code.words())),
                Matrix(x.rows(), x.cols())};
    code.encode(x.data(), x.rows(), metric, out.codes.data(), out.xhat.data());
    return out;
}

/// The values that a group may take under one choice, from the paper's tables.
std::vector<float> grid(int bits, int choice) {
    std::vector<float> values =
        bits == 3 ? std::vector<float>{0, 1, 2, 4, -1, -2, -4}
                  : std::vector<float>{0, .5, 1, 1.5, 2, 3, 4, 6, -.5, -1, -1.5, -2, -3, -4, -6};
    const std::vector<float> special =
        bits == 3 ? std::vector<float>{-3, 3, -6, 6} : std::vector<float>{-5, 5, -8, 8};
    values.push_back(special[static_cast<std::size_t>(choice)]);
    for (float& v : values) v *= 0.5F;
    return values;
}

TEST(BitmodCode, ValuesAreThoseOfThePaper) {
    for (const int bits : {3, 4})
        for (int choice = 0; choice < 4; ++choice) {
            const BitmodCode code(1, bits);
            std::vector<float> values;
            for (std::uint64_t c = 0; c < std::uint64_t{1} << bits; ++c) {
                const std::uint64_t whole = c << 2 | static_cast<std::uint64_t>(choice);
                float value = 0;
                code.decode(&whole, 1, &value);
                values.push_back(value);
            }
            std::vector<float> wanted = grid(bits, choice);
            std::sort(values.begin(), values.end());
            std::sort(wanted.begin(), wanted.end());
            EXPECT_EQ(values, wanted) << bits << " bits, choice " << choice;
        }
}

// Weights of a group are independent under a diagonal metric, so the best of all codes is the best
// of four choices, each with the nearest value for every weight.
TEST(BitmodCode, BestOfAllCodesUnderADiagonalMetric) {
    for (const int bits : {3, 4})
        for (const Index d : {1, 3, 20, 64}) {
            const BitmodCode code(static_cast<int>(d), bits);
            const Matrix x = 1.5F * gaussian(50, d, 1);
            const Matrix metric = Matrix(gaussian(1, d, 2).cwiseAbs2().row(0).asDiagonal()) * 3.0F;
            for (const bool weighted : {false, true}) {
                const Matrix m = weighted ? metric : Matrix::Identity(d, d);
                const Encoded got = encode(code, x, weighted ? m.data() : nullptr);
                for (Index i = 0; i < x.rows(); ++i) {
                    double least = std::numeric_limits<double>::infinity();
                    for (int choice = 0; choice < 4; ++choice) {
                        double sum = 0;
                        for (Index j = 0; j < d; ++j) {
                            double nearest = std::numeric_limits<double>::infinity();
                            for (const float v : grid(bits, choice))
                                nearest = std::min(nearest, std::pow(double{x(i, j)} - v, 2));
                            sum += m(j, j) * nearest;
                        }
                        least = std::min(least, sum);
                    }
                    const double found = loss(x.row(i), got.xhat.row(i), m);
                    EXPECT_NEAR(found, least, 1e-6 * (1 + least)) << bits << " bits, d = " << d;
                }
            }
        }
}

TEST(BitmodCode, EveryChoiceIsTaken) {
    for (const int bits : {3, 4}) {
        const BitmodCode code(32, bits);
        const Encoded got = encode(code, 1.5F * gaussian(400, 32, 1), nullptr);
        std::vector<int> taken(4, 0);
        for (std::size_t i = 0; i < got.codes.size(); i += static_cast<std::size_t>(code.words()))
            ++taken[got.codes[i] & 3];
        EXPECT_GT(*std::min_element(taken.begin(), taken.end()), 10) << bits;
    }
}

TEST(BitmodCode, CorrelatedMetricsAreMadeUseOf) {
    const Index d = 64;
    const Matrix metric = correlated_metric(d, 3);
    const Matrix x = gaussian(200, d, 1);
    for (const int bits : {3, 4}) {
        const BitmodCode code(d, bits);
        const double aware = loss(x, encode(code, x, metric.data()).xhat, metric);
        EXPECT_LT(aware, 0.7 * loss(x, encode(code, x, nullptr).xhat, metric)) << bits;
    }
}

// Two weights, all codes tried: the nearest plane is at most its own bound away from the best.
TEST(BitmodCode, NearestPlaneIsCloseToTheBestOfAllCodes) {
    const BitmodCode code(2, 3);
    const Matrix metric = (Matrix(2, 2) << 1.0F, 0.6F, 0.6F, 1.0F).finished();
    const Matrix x = gaussian(500, 2, 4);
    const Encoded got = encode(code, x, metric.data());
    double found = 0;
    double best = 0;
    for (Index i = 0; i < x.rows(); ++i) {
        double least = std::numeric_limits<double>::infinity();
        for (std::uint64_t c = 0; c < 256; ++c) {
            Matrix xhat(1, 2);
            code.decode(&c, 1, xhat.data());
            least = std::min(least, loss(x.row(i), xhat, metric));
        }
        const double own = loss(x.row(i), got.xhat.row(i), metric);
        EXPECT_GE(own, least - 1e-9);
        found += own;
        best += least;
    }
    EXPECT_LT(found, 1.25 * best);
}

TEST(BitmodCode, DecodesToWhatTheEncoderReported) {
    for (const int bits : {3, 4})
        for (const Index d : {1, 5, 21, 64, 100}) {
            const BitmodCode code(static_cast<int>(d), bits);
            EXPECT_EQ(code.bits(), 2 + d * bits);
            const Matrix metric = correlated_metric(d, 5);
            const Matrix x = 2.0F * gaussian(33, d, 6);
            for (const float* m : {static_cast<const float*>(nullptr), metric.data()}) {
                const Encoded got = encode(code, x, m);
                Matrix back(x.rows(), d);
                code.decode(got.codes.data(), x.rows(), back.data());
                EXPECT_EQ(back, got.xhat);
                for (Index i = 0; i < x.rows(); ++i)
                    EXPECT_TRUE(code.valid(&got.codes[i * code.words()]));
            }
        }
}

TEST(BitmodCode, ReconstructionIsMonotoneInTheWeight) {
    // One weight sweeps its range in a group that the others decide.
    for (const int bits : {3, 4}) {
        const BitmodCode code(64, bits);
        Matrix x = gaussian(1, 64, 7);
        Matrix metric = Matrix::Identity(64, 64);
        metric(9, 9) = 1e-9F;  // no say in the choice
        float last = -std::numeric_limits<float>::infinity();
        for (int step = -600; step < 600; ++step) {
            x(0, 9) = 0.01F * static_cast<float>(step);
            const float value = encode(code, x, metric.data()).xhat(0, 9);
            EXPECT_GE(value, last);
            last = value;
        }
    }
}

TEST(BitmodCode, BitsPastTheCodeAreRefused) {
    for (const int bits : {3, 4}) {
        const BitmodCode code(21, bits);  // 65 and 86 bits: two words
        std::vector<std::uint64_t> words(2, 0);
        EXPECT_TRUE(code.valid(words.data()));
        words[1] = std::uint64_t{1} << (code.bits() - 64);
        EXPECT_FALSE(code.valid(words.data()));
    }
}

TEST(BitmodCode, SingularAndTinyMetricsAreSurvived) {
    const BitmodCode code(8, 3);
    const Matrix x = gaussian(20, 8, 8);
    const Matrix ones = Matrix::Ones(8, 8);
    EXPECT_TRUE(encode(code, x, ones.data()).xhat.allFinite());
    const Matrix zero = Matrix::Zero(8, 8);
    EXPECT_TRUE(encode(code, x, zero.data()).xhat.allFinite());
}

}  // namespace
}  // namespace vq
