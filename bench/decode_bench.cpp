// SPDX-License-Identifier: Apache-2.0
// Products with random packed tensors of every code, 4096 x 4096, cycled through more than 1 GB so
// that no cache helps; and the memory's read rate to compare with. Counters: weights and packed
// bytes a second.
#include <benchmark/benchmark.h>

#include <map>
#include <memory>
#include <string>

#include "base/parallel.h"
#include "base/rng.h"
#include "decode/vqkit_decode.hpp"
#include "model/random_packed.h"

namespace {

using vq::Index;

constexpr Index side = 4096;
constexpr Index memory_bytes = 1100'000'000;

void run_tasks(void* /*pool*/, std::size_t n, vqd_task task, void* context) {
    vq::parallel_for(static_cast<Index>(n),
                     [&](Index i) { task(context, static_cast<std::size_t>(i)); });
}

void product(benchmark::State& state, const std::string& code) {
    const auto batch = static_cast<std::size_t>(state.range(0));
    vq::PackedBuffer one;
    vq::random_packed(code, side, side, 1, 1, one.sink());
    const Index copies = batch == 1 ? memory_bytes / static_cast<Index>(one.size()) + 1 : 1;
    vq::PackedBuffer all;
    all.reserve(one.size() * static_cast<std::size_t>(copies + 1));
    vq::random_packed(code, side, side, copies, 1, all.sink());
    const vqd::File file(all.data(), all.size());
    vqd::Decoder decoder(file, {run_tasks, nullptr});
    std::vector<float> x(side * batch);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(vq::random_normal(1, i));
    std::vector<float> y(side * batch);
    std::size_t next = 0;
    for (auto _ : state) {
        decoder.matmul(next, x.data(), batch, y.data());
        next = (next + 1) % file.size();
    }
    const auto products = static_cast<double>(state.iterations());
    state.counters["weights"] =
        benchmark::Counter(products * side * side, benchmark::Counter::kIsRate);
    state.counters["flops"] = benchmark::Counter(
        2 * products * side * side * static_cast<double>(batch), benchmark::Counter::kIsRate);
    state.SetBytesProcessed(
        static_cast<std::int64_t>(products * static_cast<double>(file.info(0).bytes)));
}

void read_memory(benchmark::State& state) {
    std::vector<std::uint64_t> words(memory_bytes / sizeof(std::uint64_t), 1);
    constexpr std::size_t stretch = 1 << 17;  // words a task
    const std::size_t tasks = words.size() / stretch;
    std::vector<std::uint64_t> sums(tasks);
    for (auto _ : state) {
        vq::parallel_for(static_cast<Index>(tasks), [&](Index t) {
            const std::uint64_t* from = words.data() + static_cast<std::size_t>(t) * stretch;
            std::uint64_t sum[8] = {};
            for (std::size_t i = 0; i < stretch; i += 8)
                for (std::size_t k = 0; k < 8; ++k) sum[k] ^= from[i + k];
            for (const std::uint64_t s : sum) sums[static_cast<std::size_t>(t)] ^= s;
        });
        benchmark::DoNotOptimize(sums.data());
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                            static_cast<std::int64_t>(tasks * stretch * sizeof(std::uint64_t)));
}

[[maybe_unused]] const bool registered = [] {
    benchmark::RegisterBenchmark("read_memory", read_memory)->UseRealTime();
    for (const std::string& code : vq::random_code_names())
        benchmark::RegisterBenchmark(code.c_str(), product, code)->Arg(1)->Arg(512)->UseRealTime();
    return true;
}();

}  // namespace
