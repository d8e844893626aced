// SPDX-License-Identifier: Apache-2.0
// How fast packed tensors are decoded, against the memory's read bandwidth measured in between.
#pragma once

#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/progress.h"

namespace vq {

struct KernelBenchOptions {
    Index batch = 1;
    int threads = 1;
    double seconds = 1;                          ///< for one kernel, at least
    std::int64_t bytes = std::int64_t{1} << 30;  ///< to cycle through: more than caches hold
    std::uint64_t seed = 0;
};

struct KernelTiming {
    std::string code;
    std::string isa;
    Index rows = 0;
    Index cols = 0;
    Index batch = 1;
    Index tensors = 0;           ///< that were cycled through
    double bits_per_weight = 0;  ///< codes, scales, transform data
    double seconds = 0;          ///< of one product: the median pass over the tensors, by tensor
    double bandwidth = 0;        ///< bytes a second that a loop reads, median in the same run

    double bytes_per_second() const {
        return bits_per_weight / 8 * static_cast<double>(rows * cols) / seconds;
    }
    double weights_per_second() const { return static_cast<double>(rows * cols) / seconds; }
    double flops() const {
        return 2 * static_cast<double>(rows * cols) * static_cast<double>(batch) / seconds;
    }
};

/// Random tensors of one code of random_code_names().
KernelTiming time_random_kernel(const std::string& code, Index rows, Index cols,
                                const KernelBenchOptions& options);

/// Every tensor of a packed file in memory, tensors of the same code and shape together.
std::vector<KernelTiming> time_packed_kernels(const void* data, std::size_t bytes,
                                              const KernelBenchOptions& options,
                                              const Progress& progress);

}  // namespace vq
