// SPDX-License-Identifier: Apache-2.0
#include "codebooks/assign/kmeans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace vq {
namespace {

std::vector<float> gaussian(Index count, std::uint64_t seed) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(random_normal(seed, i));
    return out;
}

std::set<std::vector<float>> rows(const Matrix& m) {
    std::set<std::vector<float>> out;
    for (Index i = 0; i < m.rows(); ++i) out.emplace(m.row(i).data(), m.row(i).data() + m.cols());
    return out;
}

TEST(KMeans, OneClusterIsTheWeightedMean) {
    const Index n = 500;
    const Index d = 3;
    const auto x = gaussian(n * d, 1);
    std::vector<float> w;
    for (Index i = 0; i < n; ++i) w.push_back(static_cast<float>(i % 7));
    for (const float* weights :
         {static_cast<const float*>(nullptr), static_cast<const float*>(w.data())}) {
        const Matrix c = train_kmeans(x.data(), n, d, 1, weights, {});
        for (Index j = 0; j < d; ++j) {
            double sum = 0;
            double magnitude = 0;
            double weight = 0;
            for (Index i = 0; i < n; ++i) {
                const double wi = weights == nullptr ? 1.0 : weights[i];
                sum += wi * x[i * d + j];
                magnitude += wi * std::abs(x[i * d + j]);
                weight += wi;
            }
            // An fp32 sum of n products, times an fp32 sum of n weights.
            const double bound = 2 * static_cast<double>(n + 2) *
                                 std::numeric_limits<float>::epsilon() * magnitude / weight;
            EXPECT_NEAR(c(0, j), sum / weight, bound);
        }
    }
}

TEST(KMeans, ExactClustersAreFoundExactly) {
    const std::vector<std::vector<float>> centres = {{0, 0}, {1, 0}, {0, 1}, {-5, 2}, {7, 7}};
    std::vector<float> x;
    for (int i = 0; i < 300; ++i) {
        const auto& c = centres[static_cast<std::size_t>(i * i) % centres.size()];
        x.insert(x.end(), c.begin(), c.end());
    }
    // i^2 mod 5 is 0, 1 or 4: three distinct points.
    KMeansReport report;
    const Matrix c = train_kmeans(x.data(), 300, 2, 3, nullptr, {}, &report);
    EXPECT_TRUE(report.exact);
    EXPECT_THAT(rows(c), testing::ElementsAre(centres[0], centres[1], centres[4]));
    EXPECT_EQ(report.mean_distance, 0);
}

TEST(KMeans, WellSeparatedClustersAreFound) {
    // Four clouds of radius 0.1 around the corners of a square of side 100.
    std::vector<float> x = gaussian(400 * 2, 2);
    for (Index i = 0; i < 400; ++i) {
        x[2 * i] = 0.02F * x[2 * i] + (i % 2 == 0 ? 0.0F : 100.0F);
        x[2 * i + 1] = 0.02F * x[2 * i + 1] + (i % 4 < 2 ? 0.0F : 100.0F);
    }
    const std::vector<float> start = {10, 10, 90, 10, 10, 90, 90, 90};
    KMeansOptions options;
    options.initial = start.data();
    KMeansReport report;
    const Matrix c = train_kmeans(x.data(), 400, 2, 4, nullptr, options, &report);
    for (Index i = 0; i < 4; ++i) {
        EXPECT_NEAR(c(i, 0), i % 2 == 0 ? 0 : 100, 0.1);
        EXPECT_NEAR(c(i, 1), i < 2 ? 0 : 100, 0.1);
    }
    EXPECT_LT(report.mean_distance, 4 * 2 * 0.02 * 0.02);
}

TEST(KMeans, MoreCentroidsThanPointsGivesThePointsFirst) {
    const auto x = gaussian(5 * 3, 3);
    KMeansReport report;
    const Matrix c = train_kmeans(x.data(), 5, 3, 12, nullptr, {}, &report);
    ASSERT_EQ(c.rows(), 12);
    EXPECT_TRUE(report.exact);
    for (Index i = 0; i < 12; ++i)
        for (Index j = 0; j < 3; ++j) EXPECT_EQ(c(i, j), x[(i % 5) * 3 + j]);
}

TEST(KMeans, AWeightCountsAsCopies) {
    // Weighted points, and the same points written out w times: from one start, the same centroids.
    const Index n = 600;
    const Index d = 2;
    const auto x = gaussian(n * d, 4);
    std::vector<float> w;
    std::vector<float> copies;
    for (Index i = 0; i < n; ++i) {
        w.push_back(static_cast<float>(random_bits(5, static_cast<std::uint64_t>(i)) % 4));
        for (int c = 0; c < static_cast<int>(w.back()); ++c)
            copies.insert(copies.end(), x.begin() + i * d, x.begin() + (i + 1) * d);
    }
    const auto start = gaussian(8 * d, 6);
    KMeansOptions options;
    options.initial = start.data();
    options.iterations = 5;
    const Matrix a = train_kmeans(x.data(), n, d, 8, w.data(), options);
    const Matrix b =
        train_kmeans(copies.data(), static_cast<Index>(copies.size()) / d, d, 8, nullptr, options);
    const Matrix unweighted = train_kmeans(x.data(), n, d, 8, nullptr, options);
    EXPECT_LT((a - b).cwiseAbs().maxCoeff(), 1e-4F);
    EXPECT_GT((a - unweighted).cwiseAbs().maxCoeff(), 1e-2F);
}

TEST(KMeans, TheScaleOfWeightsDoesNotMatter) {
    // Tiny weights with empty clusters: FAISS alone would search for a cluster to split for ever.
    const Index n = 300;
    const auto x = gaussian(n * 2, 7);
    std::vector<float> start(16 * 2, 1000.0F);
    start[0] = start[1] = 0;
    KMeansOptions options;
    options.initial = start.data();
    const std::vector<float> ones(static_cast<std::size_t>(n), 1.0F);
    const std::vector<float> tiny(static_cast<std::size_t>(n), 0x1p-40F);
    KMeansReport report;
    const Matrix a = train_kmeans(x.data(), n, 2, 16, ones.data(), options);
    const Matrix b = train_kmeans(x.data(), n, 2, 16, tiny.data(), options, &report);
    EXPECT_EQ(a, b);
    EXPECT_GT(report.splits, 0);
}

TEST(KMeans, SameResultAtAnyThreadCount) {
    const Index n = 20000;
    const Index d = 6;
    const auto x = gaussian(n * d, 8);
    std::vector<float> w;
    for (Index i = 0; i < n; ++i)
        w.push_back(static_cast<float>(random_uniform(9, static_cast<std::uint64_t>(i))));
    KMeansOptions options;
    options.iterations = 4;
    options.seed = 99;
    options.max_points_per_centroid = 100;
    options.min_sample = 0;  // so that 128 * 100 of the points are used
    std::vector<Matrix> results;
    std::vector<KMeansReport> reports(3);
    const int before = omp_get_max_threads();
    for (const int threads : {1, 2, 3}) {
        omp_set_num_threads(threads);
        results.push_back(train_kmeans(x.data(), n, d, 128, w.data(), options,
                                       &reports[static_cast<std::size_t>(threads - 1)]));
    }
    omp_set_num_threads(before);
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
    EXPECT_EQ(reports[0].objective, reports[1].objective);
    EXPECT_EQ(reports[0].mean_distance, reports[2].mean_distance);
    EXPECT_EQ(reports[0].points, 12800);
    options.seed = 100;
    EXPECT_NE(train_kmeans(x.data(), n, d, 128, w.data(), options), results[0]);
}

TEST(KMeans, ObjectiveFallsAndBothAssignersReachTheSame) {
    const Index n = 8000;
    const Index d = 4;
    const auto x = gaussian(n * d, 10);
    KMeansOptions options;
    options.iterations = 10;
    KMeansReport own;
    KMeansReport flat;
    train_kmeans(x.data(), n, d, 64, nullptr, options, &own);
    options.assigner = AssignerKind::faiss;
    train_kmeans(x.data(), n, d, 64, nullptr, options, &flat);
    ASSERT_EQ(own.objective.size(), 10U);
    EXPECT_EQ(own.splits, 0);
    for (std::size_t i = 1; i < own.objective.size(); ++i)
        EXPECT_LT(own.objective[i], own.objective[i - 1]);
    EXPECT_LT(own.mean_distance, own.objective.back() / static_cast<double>(n));
    // A near-tie that went the other way may move the paths apart a little.
    EXPECT_NEAR(own.mean_distance / flat.mean_distance, 1, 1e-3);
}

TEST(KMeans, TrainingPrintsNothing) {
    const auto x = gaussian(100 * 2, 11);
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    train_kmeans(x.data(), 100, 2, 60, nullptr, {});  // FAISS would ask for 39 points a centroid
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(KMeans, SkewedWeightsPutCentroidsWhereTheWeightIs) {
    // A tenth of the points carries nearly all weight: codewords should follow it.
    const Index n = 5000;
    auto x = gaussian(n, 12);
    std::vector<float> w;
    for (Index i = 0; i < n; ++i) {
        w.push_back(i % 10 == 0 ? 1.0F : 1e-6F);
        if (i % 10 == 0) x[i] += 50;
    }
    const Matrix c = train_kmeans(x.data(), n, 1, 16, w.data(), {});
    EXPECT_GE((c.array() > 25).count(), 14);
}

TEST(KMeans, FaultyInputIsRefusedWithTheValue) {
    KMeansOptions options;
    options.name = "layer 3";
    const auto message = [&](std::vector<float> x, std::vector<float> w) -> std::string {
        try {
            train_kmeans(x.data(), 4, 1, 2, w.data(), options);
        } catch (const Error& e) {
            return e.what();
        }
        return "accepted";
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    using testing::HasSubstr;
    EXPECT_EQ(message({1, 2, 3, 4}, {1, 1, 1, 1}), "accepted");
    EXPECT_THAT(message({1, 2, nan, 4}, {1, 1, 1, 1}), HasSubstr("nan in training vector 2"));
    EXPECT_THAT(message({1, -inf, 3, 4}, {1, 1, 1, 1}), HasSubstr("layer 3"));
    EXPECT_THAT(message({1, 2, 3, 4}, {1, -2, 1, 1}), HasSubstr("weight -2"));
    EXPECT_THAT(message({1, 2, 3, 4}, {1, inf, 1, 1}), HasSubstr("weight inf"));
    EXPECT_THAT(message({1, 2, 3, 4}, {0, 0, 0, 0}), HasSubstr("all 4 weights are 0"));
}

TEST(KMeans, StopsWhenAsked) {
    const auto x = gaussian(1000, 13);
    int asked = 0;
    Progress progress;
    progress.cancelled = [&] { return ++asked > 3; };
    KMeansOptions options;
    options.progress = &progress;
    EXPECT_THROW(train_kmeans(x.data(), 1000, 1, 10, nullptr, options), Cancelled);
    EXPECT_EQ(asked, 4);
}

}  // namespace
}  // namespace vq
