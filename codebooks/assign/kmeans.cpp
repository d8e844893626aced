// SPDX-License-Identifier: Apache-2.0
#include "codebooks/assign/kmeans.h"

#include <faiss/Clustering.h>
#include <faiss/impl/FaissException.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"

namespace vq {
namespace {

// Streams of random numbers derived from one seed.
constexpr std::uint64_t sample_stream = 0x5A3D1E;
constexpr std::uint64_t initial_stream = 0x1D1AF7;

/// Weights this far below the mean count as 0: FAISS divides by sums of weights in fp32.
constexpr double negligible_weight = 1e-30;

void check_finite(const float* x, Index n, Index d, const std::string& name) {
    for (Index i = 0; i < n * d; ++i)
        if (!std::isfinite(x[i]))
            throw Error("value is not finite (" + std::to_string(x[i]) + " in training vector " +
                            std::to_string(i / d) + ")",
                        name, "remove NaN and infinity from the input");
}

/// Indices of the points whose weight counts; `scale` makes their mean weight 1.
std::vector<Index> weighted_points(const float* weights, Index n, const std::string& name,
                                   double& scale) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) {
        if (!std::isfinite(weights[i]) || weights[i] < 0)
            throw Error("weight " + std::to_string(weights[i]) + " of training vector " +
                            std::to_string(i) + " is not a finite number >= 0",
                        name, "check the weights");
        sum += weights[i];
    }
    if (!(sum > 0))
        throw Error("all " + std::to_string(n) + " weights are 0", name,
                    "give at least one vector a weight");
    const double least = negligible_weight * sum / static_cast<double>(n);
    std::vector<Index> kept;
    for (Index i = 0; i < n; ++i)
        if (weights[i] > least) kept.push_back(i);
    scale = static_cast<double>(kept.size()) / sum;
    return kept;
}

/// `count` of the entries of `from`, drawn uniformly, in their old order.
std::vector<Index> subsample(std::vector<Index> from, Index count, std::uint64_t seed) {
    if (static_cast<Index>(from.size()) <= count) return from;
    const auto key = [seed](Index i) {
        return random_bits(seed ^ sample_stream, static_cast<std::uint64_t>(i));
    };
    std::nth_element(from.begin(), from.begin() + count, from.end(),
                     [&](Index a, Index b) { return key(a) != key(b) ? key(a) < key(b) : a < b; });
    from.resize(static_cast<std::size_t>(count));
    std::sort(from.begin(), from.end());
    return from;
}

/// The points to train on, gathered.
struct TrainingSet {
    std::vector<float> x;  ///< size (n, d)
    std::vector<float> w;  ///< size (n), mean about 1; empty when all weights are 1
    Index n = 0;
    Index d = 0;
    const float* point(Index i) const { return x.data() + i * d; }
};

TrainingSet gather(const float* x, Index n, Index d, const float* weights, Index limit,
                   const KMeansOptions& options) {
    double scale = 1;
    std::vector<Index> used;
    if (weights == nullptr) {
        used.resize(static_cast<std::size_t>(n));
        std::iota(used.begin(), used.end(), Index{0});
    } else {
        used = weighted_points(weights, n, options.name, scale);
    }
    used = subsample(std::move(used), limit, options.seed);
    TrainingSet set;
    set.n = static_cast<Index>(used.size());
    set.d = d;
    set.x.reserve(used.size() * static_cast<std::size_t>(d));
    for (const Index i : used) set.x.insert(set.x.end(), x + i * d, x + (i + 1) * d);
    for (float& value : set.x) value += 0.0F;  // -0 becomes 0: equal points have equal bits
    if (weights != nullptr)
        for (const Index i : used) set.w.push_back(static_cast<float>(weights[i] * scale));
    return set;
}

/// Set of points by value.
struct PointHash {
    const TrainingSet* set;
    std::size_t operator()(Index i) const {
        std::uint64_t h = 0;
        for (Index j = 0; j < set->d; ++j)
            h = random_bits(h, std::bit_cast<std::uint32_t>(set->point(i)[j]));
        return static_cast<std::size_t>(h);
    }
};
struct PointEqual {
    const TrainingSet* set;
    bool operator()(Index a, Index b) const {
        return std::equal(set->point(a), set->point(a) + set->d, set->point(b));
    }
};

/// Up to `count` distinct points, drawn without replacement with probability proportional to
/// weight: the first ones in descending order of log(u_i) / w_i (Efraimidis, Spirakis 2006).
std::vector<Index> draw_distinct(const TrainingSet& set, Index count, std::uint64_t seed) {
    const auto n = static_cast<std::size_t>(set.n);
    std::vector<double> key(n);
    for (std::size_t i = 0; i < n; ++i)
        key[i] = std::log(random_uniform(seed ^ initial_stream, i)) /
                 (set.w.empty() ? 1.0 : static_cast<double>(set.w[i]));
    std::vector<Index> order(n);
    std::iota(order.begin(), order.end(), Index{0});
    const auto before = [&](Index a, Index b) {
        const double ka = key.data()[a];
        const double kb = key.data()[b];
        return ka != kb ? ka > kb : a < b;
    };

    std::unordered_set<Index, PointHash, PointEqual> seen(16, PointHash{&set}, PointEqual{&set});
    std::vector<Index> drawn;
    // Sorted in parts: few are needed unless many points are equal.
    for (std::size_t done = 0; done < n && static_cast<Index>(drawn.size()) < count;) {
        const std::size_t end = std::min(n, done + 2 * static_cast<std::size_t>(count) + done);
        std::partial_sort(order.begin() + static_cast<Index>(done),
                          order.begin() + static_cast<Index>(end), order.end(), before);
        for (; done < end && static_cast<Index>(drawn.size()) < count; ++done)
            if (seen.insert(order[done]).second) drawn.push_back(order[done]);
        done = std::max(done, end);
    }
    return drawn;
}

double mean_distance(const TrainingSet& set, const Matrix& centroids) {
    const Assigner assigner(centroids.data(), centroids.rows(), set.d);
    std::vector<std::uint32_t> codes(static_cast<std::size_t>(set.n));
    std::vector<float> distances(codes.size());
    assign_all(assigner, set.x.data(), set.n, codes.data(), distances.data());
    double sum = 0;
    double weight = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const double w = set.w.empty() ? 1.0 : static_cast<double>(set.w[i]);
        sum += w * static_cast<double>(distances[i]);
        weight += w;
    }
    return sum / weight;
}

void run_faiss(const TrainingSet& set, const KMeansOptions& options, Matrix& centroids,
               KMeansReport& report) {
    faiss::Clustering clustering(static_cast<int>(set.d), static_cast<int>(centroids.rows()));
    clustering.niter = options.iterations;
    clustering.seed = static_cast<int>(options.seed & 0x7FFFFFFFU);
    // FAISS subsamples above the one and prints below the other; neither may happen.
    clustering.min_points_per_centroid = 1;
    clustering.max_points_per_centroid = std::numeric_limits<int>::max();
    clustering.centroids.assign(centroids.data(), centroids.data() + centroids.size());
    const auto index = make_assigner_index(options.assigner, set.d, [&options] {
        if (options.progress != nullptr) options.progress->check();
    });
    // FAISS's own loops, sums of points by centroid, are little beside the search, and OpenMP's
    // threads would spin on the cores that the search needs.
    const ThreadScope serial(1);
    try {
        clustering.train(set.n, set.x.data(), *index, set.w.empty() ? nullptr : set.w.data());
    } catch (const faiss::FaissException& e) {
        throw InternalError(std::string("internal error: FAISS: ") + e.what());
    }
    std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids.data());
    for (const auto& stats : clustering.iteration_stats) {
        report.objective.push_back(stats.obj);
        report.splits += stats.nsplit;
    }
}

}  // namespace

Matrix train_kmeans(const float* x, Index n, Index d, Index k, const float* weights,
                    const KMeansOptions& options, KMeansReport* report) {
    VQ_ASSERT(n >= 1 && k >= 1 && d >= 1 && d <= Assigner::max_dimension);
    VQ_ASSERT(options.iterations >= 0 && options.max_points_per_centroid >= 1);
    check_finite(x, n, d, options.name);
    const Index limit = std::max(k * options.max_points_per_centroid, options.min_sample);
    const TrainingSet set = gather(x, n, d, weights, limit, options);
    VQ_ASSERT(set.n <= std::numeric_limits<int>::max());

    KMeansReport local;
    KMeansReport& out = report == nullptr ? local : *report;
    out = KMeansReport{};
    out.points = set.n;

    Matrix centroids(k, d);
    // One more than k: tells whether the points are their own best centroids.
    std::vector<Index> start = draw_distinct(set, k + 1, options.seed);
    out.exact = static_cast<Index>(start.size()) <= k;
    if (out.exact) {
        std::sort(start.begin(), start.end());
        for (Index i = 0; i < k; ++i) {
            const Index from = start[static_cast<std::size_t>(i) % start.size()];
            std::copy_n(set.point(from), d, centroids.row(i).data());
        }
        return centroids;
    }
    if (options.initial != nullptr) {
        std::copy_n(options.initial, k * d, centroids.data());
    } else {
        for (Index i = 0; i < k; ++i)
            std::copy_n(set.point(start[static_cast<std::size_t>(i)]), d, centroids.row(i).data());
    }
    run_faiss(set, options, centroids, out);
    if (report != nullptr) out.mean_distance = mean_distance(set, centroids);
    return centroids;
}

}  // namespace vq
