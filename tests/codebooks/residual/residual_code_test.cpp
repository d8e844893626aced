// SPDX-License-Identifier: Apache-2.0
#include "codebooks/residual/residual_code.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/half.h"
#include "base/rng.h"

namespace vq {
namespace {

Matrix gaussian(Index rows, Index cols, std::uint64_t seed) {
    Matrix m(rows, cols);
    for (Index i = 0; i < m.size(); ++i)
        m.data()[i] =
            round_to_half(static_cast<float>(random_normal(seed, static_cast<std::uint64_t>(i))));
    return m;
}

ResidualCode random_code(int dim, const std::vector<int>& bits, int beam, int revisions = 0) {
    std::vector<Matrix> codebooks;
    codebooks.reserve(bits.size());
    std::uint64_t seed = 1;
    for (const int b : bits) codebooks.push_back(gaussian(Index{1} << b, dim, seed++));
    return {std::move(codebooks), beam, revisions};
}

double squared(const float* a, const float* b, Index d) {
    double sum = 0;
    for (Index j = 0; j < d; ++j)
        sum += (static_cast<double>(a[j]) - b[j]) * (static_cast<double>(a[j]) - b[j]);
    return sum;
}

struct Encoded {
    std::vector<std::uint64_t> codes;
    Matrix xhat;
};

Encoded encode(const Code& code, const Matrix& x, const float* metric = nullptr) {
    Encoded e;
    e.codes.resize(static_cast<std::size_t>(x.rows()));
    e.xhat.resize(x.rows(), x.cols());
    code.encode(x.data(), x.rows(), metric, e.codes.data(), e.xhat.data());
    return e;
}

TEST(ResidualCode, DecodeEqualsWhatTheEncoderReported) {
    for (const auto& bits : {std::vector<int>{3}, {4, 3}, {3, 3, 2}, {1, 1, 1, 1}}) {
        const ResidualCode code = random_code(5, bits, 4);
        EXPECT_EQ(code.bits(), std::accumulate(bits.begin(), bits.end(), 0));
        const Matrix x = gaussian(37, 5, 9);
        const Encoded e = encode(code, x);
        Matrix decoded(37, 5);
        code.decode(e.codes.data(), 37, decoded.data());
        EXPECT_EQ(decoded, e.xhat);
        for (const std::uint64_t c : e.codes) EXPECT_TRUE(code.valid(&c));
        const std::uint64_t beyond = 1ull << code.bits();
        EXPECT_FALSE(code.valid(&beyond));
    }
}

TEST(ResidualCode, AFullBeamFindsTheNearestOfAllCombinations) {
    const ResidualCode code = random_code(4, {3, 3}, 8);  // beam = all codewords of stage 1
    const Matrix x = gaussian(50, 4, 9);
    const Encoded e = encode(code, x);
    for (Index i = 0; i < 50; ++i) {
        double best = 1e300;
        for (std::uint64_t c = 0; c < 64; ++c) {
            float xhat[4];
            code.decode(&c, 1, xhat);
            best = std::min(best, squared(xhat, x.row(i).data(), 4));
        }
        EXPECT_NEAR(squared(e.xhat.row(i).data(), x.row(i).data(), 4), best, 1e-5);
    }
}

TEST(ResidualCode, UnderAMetricTheOneStageEncoderIsExactWithAFullBeam) {
    const ResidualCode code = random_code(3, {4}, 16);
    Matrix a = gaussian(3, 3, 4);
    const Matrix metric = a * a.transpose() + 0.1F * Matrix::Identity(3, 3);
    const Matrix x = gaussian(50, 3, 9);
    const Encoded e = encode(code, x, metric.data());
    const auto cost = [&](const float* xhat, Index i) {
        Vector diff(3);
        for (Index j = 0; j < 3; ++j) diff(j) = x(i, j) - xhat[j];
        return diff.dot(metric * diff);
    };
    for (Index i = 0; i < 50; ++i) {
        float best = 1e30F;
        for (std::uint64_t c = 0; c < 16; ++c) {
            float xhat[3];
            code.decode(&c, 1, xhat);
            best = std::min(best, cost(xhat, i));
        }
        EXPECT_NEAR(cost(e.xhat.row(i).data(), i), best, 1e-4F * (1 + best));
    }
}

/// A metric with eigenvalues that spread over more than a decade.
Matrix metric_of(int d) {
    const Matrix a = gaussian(d, d, 40);
    return a.transpose() * a + 0.05F * Matrix::Identity(d, d);
}

double cost_in(const Matrix& metric, const Matrix& e) {
    return (e * metric).cwiseProduct(e).cast<double>().sum();
}

TEST(ResidualCode, UnderAMetricAFullBeamFindsTheBestOfAllCombinations) {
    const ResidualCode code = random_code(5, {4, 3}, 16);
    const Matrix metric = metric_of(5);
    const Matrix x = 2.0F * gaussian(60, 5, 9);
    const Matrix xhat = encode(code, x, metric.data()).xhat;
    std::vector<std::uint64_t> all(128);
    std::iota(all.begin(), all.end(), 0);
    Matrix points(128, 5);
    code.decode(all.data(), 128, points.data());
    for (Index i = 0; i < x.rows(); ++i) {
        double least = std::numeric_limits<double>::infinity();
        for (Index k = 0; k < 128; ++k)
            least = std::min(least, cost_in(metric, x.row(i) - points.row(k)));
        EXPECT_LE(cost_in(metric, x.row(i) - xhat.row(i)), least * (1 + 1e-4));
    }
}

TEST(ResidualCode, RevisionsOfEveryStageLowerTheErrorWithAndWithoutAMetric) {
    const Matrix metric = metric_of(6);
    const Matrix x = 2.0F * gaussian(400, 6, 9);
    for (const float* m : {static_cast<const float*>(nullptr), metric.data()}) {
        const Matrix norm = m != nullptr ? metric : Matrix::Identity(6, 6);
        const double once = cost_in(norm, x - encode(random_code(6, {4, 4, 4}, 2), x, m).xhat);
        const double revised =
            cost_in(norm, x - encode(random_code(6, {4, 4, 4}, 2, 8), x, m).xhat);
        EXPECT_LT(revised, 0.97 * once);
    }
}

TEST(ResidualCode, ImprovingNeverLosesTheCodesAtHand) {
    const Matrix metric = metric_of(6);
    const Matrix x = 2.0F * gaussian(200, 6, 9);
    for (const int revisions : {0, 3}) {
        // Codes of a wide beam are hard to find again with a narrow one.
        Encoded e = encode(random_code(6, {4, 4, 4}, 16), x, metric.data());
        const Matrix before = e.xhat;
        random_code(6, {4, 4, 4}, 1, revisions)
            .improve(x.data(), 200, metric.data(), e.codes.data(), e.xhat.data());
        for (Index i = 0; i < 200; ++i)
            EXPECT_LE(cost_in(metric, x.row(i) - e.xhat.row(i)),
                      cost_in(metric, x.row(i) - before.row(i)) * (1 + 1e-5));
    }
}

TEST(ResidualCode, WiderBeamsAreNeverWorseOnAverage) {
    const Matrix x = gaussian(400, 6, 9);
    double last = 1e300;
    for (const int beam : {1, 4, 16}) {
        const Encoded e = encode(random_code(6, {4, 4, 4}, beam), x);
        const double error = (x - e.xhat).squaredNorm();
        EXPECT_LE(error, last * 1.001);
        last = error;
    }
}

TEST(ResidualCode, CodesDoNotDependOnTheBatch) {
    const ResidualCode code = random_code(8, {5, 5}, 8);
    const Matrix x = gaussian(64, 8, 9);
    const Encoded all = encode(code, x);
    for (Index i = 0; i < 64; ++i) {
        const Encoded one = encode(code, Matrix(x.row(i)));
        EXPECT_EQ(one.codes[0], all.codes[static_cast<std::size_t>(i)]);
    }
}

TEST(ResidualCode, ParametersRoundTripAndDecodeIsLinearInThem) {
    const ResidualCode code = random_code(4, {3, 2}, 4);
    const auto again = code.with_parameters(code.parameters());
    EXPECT_EQ(again->parameters(), code.parameters());
    std::vector<float> doubled = code.parameters();
    for (float& p : doubled) p *= 2;
    const std::uint64_t c = 13;
    float once[4];
    float twice[4];
    code.decode(&c, 1, once);
    code.decode_with(doubled, &c, 1, twice);
    for (int j = 0; j < 4; ++j) EXPECT_FLOAT_EQ(twice[j], 2 * once[j]);
}

TEST(TrainResidual, ExactClustersAreFoundExactly) {
    // Four points, two bits: every point is a codeword.
    Matrix x(40, 2);
    for (Index i = 0; i < 40; ++i)
        x.row(i) << static_cast<float>(i % 2) * 8 - 4, static_cast<float>(i / 2 % 2) * 2 - 1;
    const std::vector<int> bits = {2};
    const auto code = train_residual(x.data(), 40, 2, bits, nullptr, {});
    EXPECT_EQ(encode(*code, x).xhat, x);
}

TEST(TrainResidual, EachStageAndJointRoundsLowerTheError) {
    const Matrix x = gaussian(4000, 4, 3);
    const auto error = [&](std::vector<int> bits, int rounds) {
        ResidualTraining t;
        t.joint_rounds = rounds;
        return (x - encode(*train_residual(x.data(), 4000, 4, bits, nullptr, t), x).xhat)
            .squaredNorm();
    };
    const double one = error({4}, 0);
    const double two = error({4, 4}, 0);
    EXPECT_LT(two, 0.6 * one);
    EXPECT_LT(error({4, 4}, 5), two);
}

TEST(TrainResidual, MoreCodewordsThanSamplesWork) {
    const Matrix x = gaussian(5, 3, 3);
    const std::vector<int> bits = {4, 3};
    const auto code = train_residual(x.data(), 5, 3, bits, nullptr, {});
    EXPECT_LT((x - encode(*code, x).xhat).cwiseAbs().maxCoeff(), 1e-3F);
}

TEST(TrainResidual, BothAssignersTrainEquallyGoodCodes) {
    const Matrix x = gaussian(3000, 4, 3);
    double errors[2] = {};
    int i = 0;
    for (const AssignerKind kind : {AssignerKind::own, AssignerKind::faiss}) {
        ResidualTraining t;
        t.assigner = kind;
        const std::vector<int> bits = {5, 4};
        errors[i++] = (x - encode(*train_residual(x.data(), 3000, 4, bits, nullptr, t), x).xhat)
                          .squaredNorm();
    }
    EXPECT_NEAR(errors[0], errors[1], 0.02 * errors[0]);
}

TEST(TrainResidual, RefusesValuesThatAreNotFinite) {
    Matrix x = gaussian(10, 2, 1);
    x(4, 1) = std::numeric_limits<float>::infinity();
    const std::vector<int> bits = {2};
    EXPECT_THROW(train_residual(x.data(), 10, 2, bits, nullptr, {}), Error);
}

TEST(SplitBits, AreAsEqualAsPossibleAndAddUp) {
    EXPECT_EQ(split_bits(18, 10), (std::vector<int>{9, 9}));
    EXPECT_EQ(split_bits(22, 10), (std::vector<int>{8, 7, 7}));
    EXPECT_EQ(split_bits(5, 16), (std::vector<int>{5}));
}

}  // namespace
}  // namespace vq
