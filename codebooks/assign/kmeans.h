// SPDX-License-Identifier: Apache-2.0
// Weighted k-means: faiss::Clustering over our assigner, made reproducible and safe at its edges.
//
//   minimise  sum_i w_i |x_i - c_a(i)|^2   over k centroids c and assignments a
//
// Same points, weights, options => the same centroids, bit for bit, at any number of threads
// (with AssignerKind::own). A point of weight w counts as w copies of it, in the starting centroids
// too: these are k distinct points, drawn without replacement with probability proportional to
// weight. FAISS splits large clusters into the places of empty ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/progress.h"
#include "codebooks/assign/assigner_index.h"

namespace vq {

struct KMeansOptions {
    int iterations = 25;
    std::uint64_t seed = 0;
    AssignerKind assigner = AssignerKind::own;
    /// More points than both limits allow are subsampled (uniformly, weights kept): training uses
    /// at most max(k * max_points_per_centroid, min_sample) of them.
    Index max_points_per_centroid = 256;
    Index min_sample = 65536;
    /// Starting centroids, size (k, d), or null for the draw described above.
    const float* initial = nullptr;
    /// Asked before every iteration whether to stop (Cancelled is thrown); may be null.
    const Progress* progress = nullptr;
    /// What is being trained: the WHERE of error messages.
    std::string name = "k-means";
};

struct KMeansReport {
    Index points = 0;  ///< points trained on: after subsampling, without those of weight 0
    /// Whether there were at most k distinct points, so that the centroids are these points.
    bool exact = false;
    int splits = 0;  ///< empty clusters that were replaced, over all iterations
    /// Unweighted sum of squared distances at the start of each iteration (fp32, as FAISS sums it).
    std::vector<float> objective;
    /// sum_i w_i |x_i - c|^2 / sum_i w_i over the points trained on, with the final centroids.
    double mean_distance = 0;
};

/// Trains k centroids; returns them, size (k, d). x: size (n, d), n >= 1, 1 <= d <= 64.
/// weights: size (n), >= 0, or null for all 1; weights below 1e-30 of the mean count as 0.
/// With at most k distinct points these are the first centroids, in order of appearance, and the
/// others repeat them cyclically (so that a nearest search, which prefers low indices, never finds
/// the repetitions). report may be null. Throws Error when a point or weight is not finite, a
/// weight is negative, or all are 0.
Matrix train_kmeans(const float* x, Index n, Index d, Index k, const float* weights,
                    const KMeansOptions& options, KMeansReport* report = nullptr);

}  // namespace vq
