// SPDX-License-Identifier: Apache-2.0
// Assigner: the exact nearest codeword under L2, for the short vectors of vector codebooks (d <=
// 64, typically 2..16) and up to 2^31 codewords. It is the inner loop of k-means and of every
// nearest or beam encoder.
//
//   argmin_i |x - c_i|^2 = argmin_i |c_i|^2 / 2 - x.c_i                        (plain)
//   argmin_i sum_j w_j (x_j - c_ij)^2 = argmin_i sum_j c_ij (w_j c_ij / 2 - w_j x_j)   (weighted)
//
// The right-hand sides ("scores") cost one and two fused multiply-adds a codeword and dimension.
// Scores are taken in fp32, dimension by dimension, in the same order whatever the batch, so that
// results depend neither on the number of threads nor on how points are batched. The AVX2 and
// AVX-512 kernels agree bit for bit; the scalar one rounds products too, so that it may choose
// another codeword where two scores differ by less than
//   2 (d + 2) 2^-23 (|c|^2 / 2 + sum_j |x_j c_j|)
// (the rounding bound of the two chains). Equal scores go to the lowest index.
#pragma once

#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "base/matrix.h"

namespace vq {

struct AssignerKernel;

class Assigner {
public:
    static constexpr Index max_dimension = 64;
    static constexpr int max_t = 64;
    static constexpr Index block_width = 32;  ///< codewords a block

    /// Copies `centroids`, size (k, d), row-major; k >= 1, 1 <= d <= max_dimension.
    explicit Assigner(const float* centroids, Index k, Index d, Isa isa = active_isa());

    Index size() const { return k_; }
    Index dimension() const { return d_; }
    Isa isa() const { return isa_; }
    /// size (k, d), row-major, as given.
    const float* centroids() const { return centroids_.data(); }

    // The searches are const, thread-safe and run on the calling thread. Points should be finite:
    // a point with NaN or infinity gets some valid code and a distance that is not finite.

    /// x: size (n, d). code: size (n). distance: size (n), squared L2, summed directly over
    /// (x - c)^2 (no cancellation); may be null.
    void nearest(const float* x, Index n, std::uint32_t* code, float* distance) const;

    /// As nearest, under sum_j w_j (x_j - c_j)^2. w: size (n, d), >= 0.
    void nearest_weighted(const float* x, const float* w, Index n, std::uint32_t* code,
                          float* distance) const;

    /// The t nearest codewords of each point, nearest first. 1 <= t <= min(k, max_t).
    /// codes, distances: size (n, t); distances may be null. codes[i * t] is what nearest() finds.
    /// The order is that of the scores; distances are raised by rounding errors where needed so
    /// that they ascend too.
    void nearest_t(const float* x, Index n, int t, std::uint32_t* codes, float* distances) const;

    /// As nearest_t, under sum_j w_j (x_j - c_j)^2. w: size (n, d), >= 0.
    void nearest_t_weighted(const float* x, const float* w, Index n, int t, std::uint32_t* codes,
                            float* distances) const;

private:
    /// One cache line, so that blocks are aligned for whole-line loads.
    struct alignas(64) Line {
        float lane[16];
    };

    Index k_;
    Index d_;
    Isa isa_;
    const AssignerKernel* kernel_;
    std::vector<float> centroids_;
    std::vector<Line> blocks_;  ///< see BlockedCodebook in assigner_kernel.h
};

/// nearest() over all threads, in blocks of a fixed size. distances may be null.
void assign_all(const Assigner& assigner, const float* x, Index n, std::uint32_t* codes,
                float* distances);

/// nearest_weighted() over all threads. w: size (n, d). distances may be null.
void assign_all_weighted(const Assigner& assigner, const float* x, const float* w, Index n,
                         std::uint32_t* codes, float* distances);

}  // namespace vq
