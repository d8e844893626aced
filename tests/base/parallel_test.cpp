#include "base/parallel.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace vq {
namespace {

TEST(Parallel, EveryItemRunsOnce) {
    for (const std::int64_t n : {0, 1, 2, 7, 1000}) {
        std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
        parallel_for(n, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
        for (const auto& count : runs) EXPECT_EQ(count.load(), 1);
    }
}

TEST(Parallel, ExceptionOfAnItemReachesTheCaller) {
    try {
        parallel_for(100, [](std::int64_t i) {
            if (i == 42) throw std::runtime_error("item 42");
        });
        FAIL() << "the exception was lost";
    } catch (const std::runtime_error& error) {
        EXPECT_EQ(std::string(error.what()), "item 42");
    }
}

/// Else the inner loop would start a team of threads of its own for every outer item.
TEST(Parallel, LoopInsideALoopOfOneItemUsesTheSameThreads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(2);
    parallel_for(1, [&](std::int64_t) {
        EXPECT_EQ(omp_get_level(), 0);
        parallel_for(8, [&](std::int64_t) { EXPECT_LE(omp_get_level(), 1); });
    });
    omp_set_num_threads(before);
}

TEST(Parallel, ItemsAfterAFailureAreSkipped) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    int runs = 0;
    EXPECT_THROW(parallel_for(100,
                              [&](std::int64_t i) {
                                  ++runs;
                                  if (i == 10) throw std::runtime_error("stop");
                              }),
                 std::runtime_error);
    omp_set_num_threads(before);
    EXPECT_EQ(runs, 11);
}

TEST(Parallel, NestedLoopsRunSeriallyAndWhole) {
    std::vector<std::int64_t> sums(8);
    std::atomic<bool> one_thread{true};
    parallel_for(8, [&](std::int64_t i) {
        const int thread = omp_get_thread_num();
        parallel_for(100, [&](std::int64_t j) {
            if (omp_in_parallel() != 0 && omp_get_num_threads() > 1 &&
                omp_get_thread_num() != thread)
                one_thread = false;
            sums[static_cast<std::size_t>(i)] += j;  // a race if it were not serial
        });
    });
    EXPECT_TRUE(one_thread);
    for (const std::int64_t sum : sums) EXPECT_EQ(sum, 4950);
}

}  // namespace
}  // namespace vq
