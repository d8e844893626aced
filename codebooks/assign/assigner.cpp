// SPDX-License-Identifier: Apache-2.0
#include "codebooks/assign/assigner.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "codebooks/assign/assigner_kernel.h"

namespace vq {
namespace {

/// Points a work item of assign_all: enough to hide the cost of starting one.
constexpr Index points_per_item = 1024;

const AssignerKernel& kernel_for(Isa isa) {
    switch (isa) {
        case Isa::amx:
        case Isa::avx512: return assigner_kernel_avx512;
        case Isa::avx2: return assigner_kernel_avx2;
        case Isa::scalar: break;
    }
    return assigner_kernel_scalar;
}

/// sum_j w_j (x_j - c_j)^2, or plain L2 when w is null. Kept out of the kernels so that the figure
/// is the same on every instruction set. Two partial sums halve the latency of the chain.
float squared_distance(const float* x, const float* w, const float* c, Index d) {
    float even = 0;
    float odd = 0;
    Index j = 0;
    if (w == nullptr) {
        for (; j + 1 < d; j += 2) {
            even += (x[j] - c[j]) * (x[j] - c[j]);
            odd += (x[j + 1] - c[j + 1]) * (x[j + 1] - c[j + 1]);
        }
        if (j < d) even += (x[j] - c[j]) * (x[j] - c[j]);
    } else {
        for (; j < d; ++j) even += w[j] * ((x[j] - c[j]) * (x[j] - c[j]));
    }
    return even + odd;
}

}  // namespace

Assigner::Assigner(const float* centroids, Index k, Index d, Isa isa)
    : k_(k), d_(d), isa_(isa), kernel_(&kernel_for(isa)) {
    VQ_ASSERT(k >= 1 && k <= std::numeric_limits<std::int32_t>::max());
    VQ_ASSERT(d >= 1 && d <= max_dimension);
    VQ_ASSERT(isa <= detect_isa());
    centroids_.assign(centroids, centroids + k * d);

    const Index blocks = (k + block_width - 1) / block_width;
    blocks_.resize(static_cast<std::size_t>(blocks * (d + 2) * block_width / 16));
    float* row = blocks_.front().lane;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (Index first = 0; first < k; first += block_width, row += (d + 2) * block_width) {
        for (Index lane = 0; lane < block_width; ++lane) {
            // Lanes without a codeword have an infinite score in both searches and never win; zeros
            // elsewhere, since infinity times zero would be NaN.
            if (first + lane >= k) {
                for (Index j = 0; j < d; ++j) row[(j + 1) * block_width + lane] = 0;
                row[lane] = row[(d + 1) * block_width + lane] = infinity;
                continue;
            }
            const float* c = centroids + (first + lane) * d;
            double norm = 0;
            for (Index j = 0; j < d; ++j) {
                // In fp64 and rounded once: an error here would favour the codeword for every
                // point.
                norm += static_cast<double>(c[j]) * c[j];
                row[(j + 1) * block_width + lane] = c[j];
            }
            row[lane] = static_cast<float>(norm / 2);
            row[(d + 1) * block_width + lane] = 0;
        }
    }
}

void Assigner::nearest(const float* x, Index n, std::uint32_t* code, float* distance) const {
    nearest_weighted(x, nullptr, n, code, distance);
}

void Assigner::nearest_weighted(const float* x, const float* w, Index n, std::uint32_t* code,
                                float* distance) const {
    VQ_ASSERT(n >= 0);
    const BlockedCodebook book{blocks_.front().lane, k_, d_, (k_ + block_width - 1) / block_width};
    kernel_->nearest(book, x, w, n, code);
    if (distance == nullptr) return;
    for (Index i = 0; i < n; ++i)
        distance[i] = squared_distance(x + i * d_, w == nullptr ? nullptr : w + i * d_,
                                       centroids_.data() + code[i] * d_, d_);
}

void Assigner::nearest_t(const float* x, Index n, int t, std::uint32_t* codes,
                         float* distances) const {
    nearest_t_weighted(x, nullptr, n, t, codes, distances);
}

void Assigner::nearest_t_weighted(const float* x, const float* w, Index n, int t,
                                  std::uint32_t* codes, float* distances) const {
    VQ_ASSERT(n >= 0 && t >= 1 && t <= max_t && t <= k_);
    const BlockedCodebook book{blocks_.front().lane, k_, d_, (k_ + block_width - 1) / block_width};
    kernel_->nearest_t(book, x, w, n, t, codes);
    if (distances == nullptr) return;
    for (Index i = 0; i < n; ++i) {
        float floor = 0;
        for (Index r = i * t; r < (i + 1) * t; ++r) {
            const float distance = squared_distance(x + i * d_, w == nullptr ? nullptr : w + i * d_,
                                                    centroids_.data() + codes[r] * d_, d_);
            floor = distance < floor ? floor : distance;  // a NaN distance stays NaN
            distances[r] = floor;
        }
    }
}

void assign_all(const Assigner& assigner, const float* x, Index n, std::uint32_t* codes,
                float* distances) {
    assign_all_weighted(assigner, x, nullptr, n, codes, distances);
}

void assign_all_weighted(const Assigner& assigner, const float* x, const float* w, Index n,
                         std::uint32_t* codes, float* distances) {
    const Index d = assigner.dimension();
    parallel_for((n + points_per_item - 1) / points_per_item, [&](Index item) {
        const Index first = item * points_per_item;
        const Index count = std::min(points_per_item, n - first);
        assigner.nearest_weighted(x + first * d, w == nullptr ? nullptr : w + first * d, count,
                                  codes + first,
                                  distances == nullptr ? nullptr : distances + first);
    });
}

}  // namespace vq
