// SPDX-License-Identifier: Apache-2.0
// Nearest-codeword search, points/s: Assigner on every instruction set of this machine beside
// faiss::IndexFlatL2 in the same run, on 1 and 2 threads. Gaussian points and codewords.
// Names read operation/kernel/k:_/d:_/threads:_. Compare items_per_second within one run only.
#include <benchmark/benchmark.h>
#include <faiss/IndexFlat.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/rng.h"
#include "codebooks/assign/assigner.h"

namespace vq {
namespace {

struct Problem {
    std::int64_t k;
    std::int64_t d;
    std::int64_t own_points;
    std::int64_t faiss_points;  ///< fewer, so that one repetition stays below a second
};
constexpr Problem problems[] = {
    {256, 8, 1 << 18, 1 << 16}, {4096, 6, 1 << 16, 1 << 13}, {65536, 8, 1 << 12, 1 << 10}};

std::vector<float> gaussian(std::int64_t count, std::uint64_t seed) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(random_normal(seed, i));
    return out;
}

void own_nearest(benchmark::State& state, Isa isa, Problem of, int threads, bool weighted) {
    const ThreadScope scope(threads);
    const auto x = gaussian(of.own_points * of.d, 1);
    const std::vector<float> w(x.size(), 1.5F);
    const Assigner assigner(gaussian(of.k * of.d, 2).data(), of.k, of.d, isa);
    const std::int64_t n = isa == Isa::scalar ? of.own_points / 8 : of.own_points;
    std::vector<std::uint32_t> codes(static_cast<std::size_t>(n));
    while (state.KeepRunning()) {
        assign_all_weighted(assigner, x.data(), weighted ? w.data() : nullptr, n, codes.data(),
                            nullptr);
        benchmark::DoNotOptimize(codes.data());
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * n);
}

void faiss_nearest(benchmark::State& state, Problem of, int threads) {
    const ThreadScope scope(threads);
    const auto x = gaussian(of.faiss_points * of.d, 1);
    faiss::IndexFlatL2 index(of.d);
    index.add(of.k, gaussian(of.k * of.d, 2).data());
    std::vector<faiss::Index::idx_t> codes(static_cast<std::size_t>(of.faiss_points));
    std::vector<float> distances(codes.size());
    while (state.KeepRunning()) {
        index.search(of.faiss_points, x.data(), 1, distances.data(), codes.data());
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * of.faiss_points);
}

void own_nearest_t(benchmark::State& state, Isa isa, std::int64_t k, std::int64_t d, int t,
                   bool with_distances) {
    const std::int64_t n = 1 << 14;
    const auto x = gaussian(n * d, 1);
    const Assigner assigner(gaussian(k * d, 2).data(), k, d, isa);
    std::vector<std::uint32_t> codes(static_cast<std::size_t>(n * t));
    std::vector<float> distances(codes.size());
    while (state.KeepRunning()) {
        assigner.nearest_t(x.data(), n, t, codes.data(),
                           with_distances ? distances.data() : nullptr);
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * n);
}

void faiss_nearest_t(benchmark::State& state, std::int64_t k, std::int64_t d, int t) {
    const ThreadScope scope(1);
    const std::int64_t n = 1 << 13;
    const auto x = gaussian(n * d, 1);
    faiss::IndexFlatL2 index(d);
    index.add(k, gaussian(k * d, 2).data());
    std::vector<faiss::Index::idx_t> codes(static_cast<std::size_t>(n * t));
    std::vector<float> distances(codes.size());
    while (state.KeepRunning()) {
        index.search(n, x.data(), t, distances.data(), codes.data());
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * n);
}

[[maybe_unused]] const bool registered = [] {
    const auto shape = [](std::int64_t k, std::int64_t d) {
        return fmt::format("/k:{}/d:{}", k, d);
    };
    const auto add = [](const std::string& name, auto&& body) {
        // The benchmark library owns what it registers.
        // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
        benchmark::RegisterBenchmark(name.c_str(), body)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime()
            ->MinTime(0.3);
    };
    for (const Problem& of : problems) {
        for (const int threads : {1, 2}) {
            const std::string tail = fmt::format("{}/omp:{}", shape(of.k, of.d), threads);
            for (Isa isa : {Isa::avx512, Isa::avx2, Isa::scalar}) {
                if (isa > detect_isa()) continue;
                const std::string kernel = fmt::format("own_{}{}", isa_name(isa), tail);
                for (const bool weighted : {false, true})
                    add((weighted ? "nearest_weighted/" : "nearest/") + kernel,
                        [=](benchmark::State& state) {
                            own_nearest(state, isa, of, threads, weighted);
                        });
            }
            add("nearest/faiss" + tail,
                [=](benchmark::State& state) { faiss_nearest(state, of, threads); });
        }
    }
    struct TopProblem {
        std::int64_t k;
        std::int64_t d;
        int t;
    };
    for (const TopProblem of :
         {TopProblem{256, 8, 16}, {512, 8, 4}, {512, 8, 16}, {512, 8, 64}, {4096, 6, 16}}) {
        const std::string tail = fmt::format("{}/t:{}", shape(of.k, of.d), of.t);
        for (Isa isa : {Isa::avx512, Isa::avx2, Isa::scalar}) {
            if (isa > detect_isa()) continue;
            const std::string kernel = fmt::format("own_{}{}", isa_name(isa), tail);
            for (const bool distances : {false, true})
                add((distances ? "nearest_t+distances/" : "nearest_t/") + kernel,
                    [=](benchmark::State& state) {
                        own_nearest_t(state, isa, of.k, of.d, of.t, distances);
                    });
        }
        add("nearest_t/faiss" + tail,
            [=](benchmark::State& state) { faiss_nearest_t(state, of.k, of.d, of.t); });
    }
    return true;
}();

}  // namespace
}  // namespace vq
