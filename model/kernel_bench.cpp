// SPDX-License-Identifier: Apache-2.0
#include "model/kernel_bench.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/packed/prefetch.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "decode/vqkit_decode.hpp"
#include "model/random_packed.h"

namespace vq {

namespace {

using decode::prefetch_ahead;

constexpr int least_passes = 5;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

void run_tasks(void* /*pool*/, std::size_t n, vqd_task task, void* context) {
    parallel_for(static_cast<Index>(n),
                 [&](Index i) { task(context, static_cast<std::size_t>(i)); });
}

/// Seconds to read all of it once, every thread its own stretch.
double read_seconds(const std::uint64_t* words, std::size_t count, int threads) {
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads) * 8);
    const std::size_t stretch = count / static_cast<std::size_t>(threads) / 8 * 8;
    const double start = now();
    parallel_for(threads, [&](Index t) {
        const std::uint64_t* from = words + static_cast<std::size_t>(t) * stretch;
        std::uint64_t sum[8] = {};
        for (std::size_t i = 0; i < stretch; i += 8) {
            // As kernels do, without which a third of the bandwidth is lost at the ends of pages.
            __builtin_prefetch(from + i +
                               static_cast<std::size_t>(prefetch_ahead) / sizeof(std::uint64_t));
            for (std::size_t k = 0; k < 8; ++k) sum[k] ^= from[i + k];
        }
        std::copy_n(sum, 8, sums.data() + static_cast<std::size_t>(t) * 8);
    });
    const double seconds = now() - start;
    // The result is used, or nothing would be read.
    std::uint64_t all = 0;
    for (const std::uint64_t s : sums) all ^= s;
    volatile std::uint64_t sink = all;
    (void)sink;
    return seconds;
}

/// One group of tensors, measured in passes; after each the same memory is read from end to end.
void measure(const vqd::File& file, const std::vector<std::size_t>& tensors, const void* data,
             std::size_t bytes, const KernelBenchOptions& options, KernelTiming& out) {
    vqd::Decoder decoder(file, {run_tasks, nullptr});
    std::vector<float> x(static_cast<std::size_t>(out.cols * options.batch));
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(random_normal(options.seed, i));
    std::vector<float> y(static_cast<std::size_t>(out.rows * options.batch));
    decoder.matmul(tensors.front(), x.data(), static_cast<std::size_t>(options.batch), y.data());
    std::vector<double> passes;
    std::vector<double> rates;
    const double start = now();
    while (passes.size() < least_passes || now() - start < options.seconds) {
        const double begin = now();
        std::size_t done = 0;
        for (const std::size_t t : tensors) {
            decoder.matmul(t, x.data(), static_cast<std::size_t>(options.batch), y.data());
            ++done;
            if (now() - begin > options.seconds) break;  // large batches
        }
        passes.push_back((now() - begin) / static_cast<double>(done));
        rates.push_back(static_cast<double>(bytes) /
                        read_seconds(static_cast<const std::uint64_t*>(data),
                                     bytes / sizeof(std::uint64_t), options.threads));
    }
    out.seconds = median(passes);
    out.bandwidth = median(rates);
    out.tensors = static_cast<Index>(tensors.size());
    out.batch = options.batch;
    out.isa = file.isa();
}

}  // namespace

KernelTiming time_random_kernel(const std::string& code, Index rows, Index cols,
                                const KernelBenchOptions& options) {
    PackedBuffer one;
    random_packed(code, rows, cols, 1, options.seed, one.sink());
    const Index copies = std::max<Index>(
        1, (options.bytes + static_cast<Index>(one.size()) - 1) / static_cast<Index>(one.size()));
    PackedBuffer all;
    all.reserve(one.size() * static_cast<std::size_t>(copies + 1));
    random_packed(code, rows, cols, copies, options.seed, all.sink());
    const vqd::File file(all.data(), all.size());
    KernelTiming timing;
    timing.code = code;
    timing.rows = rows;
    timing.cols = cols;
    timing.bits_per_weight = file.info(0).bits_per_weight;
    std::vector<std::size_t> tensors(file.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i] = i;
    measure(file, tensors, all.data(), all.size(), options, timing);
    return timing;
}

std::vector<KernelTiming> time_packed_kernels(const void* data, std::size_t bytes,
                                              const KernelBenchOptions& options,
                                              const Progress& progress) {
    const vqd::File file(data, bytes);
    std::map<std::tuple<std::string, Index, Index>, std::vector<std::size_t>> groups;
    for (std::size_t i = 0; i < file.size(); ++i) {
        const vqd_tensor_info info = file.info(i);
        if (info.rows > 1) groups[{info.code, info.rows, info.cols}].push_back(i);
    }
    // A small model would be read from the caches: the bandwidth is that of other memory.
    const std::vector<std::uint64_t> memory(
        static_cast<std::size_t>(options.bytes) / sizeof(std::uint64_t), 1);
    std::vector<KernelTiming> out;
    for (const auto& [key, tensors] : groups) {
        progress.check();
        KernelTiming timing;
        std::tie(timing.code, timing.rows, timing.cols) = key;
        progress.report(static_cast<double>(out.size()), static_cast<double>(groups.size()),
                        timing.code);
        for (const std::size_t t : tensors)
            timing.bits_per_weight +=
                file.info(t).bits_per_weight / static_cast<double>(tensors.size());
        measure(file, tensors, memory.data(), memory.size() * sizeof(std::uint64_t), options,
                timing);
        out.push_back(std::move(timing));
    }
    return out;
}

}  // namespace vq
