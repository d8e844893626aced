// SPDX-License-Identifier: Apache-2.0
// The Gaussian yardstick: distortion of every code family on i.i.d. N(0, 1) weights that no
// codebook was trained on, and how fast its encoder is. Shannon's bound at R bits is 2^-2R.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/progress.h"

namespace vq {

struct GaussianResult {
    std::string code;  ///< family: "trellis", "e8p", ...
    double bits_per_weight = 0;
    double rel_mse = 0;             ///< |x - xhat|^2 / |x|^2 over the held-out weights
    double weights_per_second = 0;  ///< of the encoder, over all threads
};

struct GaussianBench {
    std::string code;  ///< family, empty: all
    int bits = 0;      ///< a weight, 1..4; 0: all
    Index weights = Index{1} << 19;
    std::uint64_t seed = 0;
};

/// The families that gaussian_bench() knows.
std::vector<std::string> gaussian_bench_codes();

/// One result for each family and rate asked for that exists. Throws Error on an unknown family,
/// and where a family has no code at that rate.
std::vector<GaussianResult> gaussian_bench(const GaussianBench& bench, const Progress& progress);

}  // namespace vq
