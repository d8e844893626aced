// SPDX-License-Identifier: Apache-2.0
#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
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

/// Waits, a minute at most, until `other` items have begun too, which takes as many threads.
void meet(std::atomic<int>& begun, int other) {
    ++begun;
    for (int i = 0; i < 60'000 && begun < other; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_GE(begun, other);
}

TEST(Parallel, AsManyThreadsAsAskedForAndAgainAfterOthers) {
    for (const int threads : {2, 4, 3, 1, 4}) {
        const ThreadScope scope(threads);
        std::atomic<int> begun{0};
        parallel_for(threads, [&](std::int64_t) { meet(begun, threads); });
    }
}

TEST(Parallel, NoMoreThreadsThanAskedFor) {
    for (const int threads : {4, 2, 1}) {  // of more there are some left that must stay out
        const ThreadScope scope(threads);
        std::atomic<int> now{0};
        std::atomic<int> most{0};
        parallel_for(200, [&](std::int64_t) {
            const int n = ++now;
            int before = most;
            while (before < n && !most.compare_exchange_weak(before, n)) {
            }
            std::this_thread::sleep_for(std::chrono::microseconds(50));
            --now;
        });
        EXPECT_LE(most, threads);
    }
}

/// Else a loop of one item would waste all other threads.
TEST(Parallel, LoopInsideALoopOfOneItemUsesAllThreads) {
    const ThreadScope scope(2);
    std::atomic<int> begun{0};
    parallel_for(1, [&](std::int64_t) {
        EXPECT_FALSE(in_parallel());
        parallel_for(2, [&](std::int64_t) {
            EXPECT_TRUE(in_parallel());
            EXPECT_EQ(omp_get_max_threads(), 1);  // of libraries that an item calls
            meet(begun, 2);
        });
    });
    EXPECT_FALSE(in_parallel());
    EXPECT_EQ(omp_get_max_threads(), 2);
}

TEST(Parallel, LoopsOfDifferentThreadsDoNotWaitForEachOther) {
    std::atomic<int> begun{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i)
        callers.emplace_back([&] {
            const ThreadScope scope(2);
            parallel_for(2, [&](std::int64_t) { meet(begun, 6); });
        });
    for (std::thread& caller : callers) caller.join();
}

/// Small loops one after the other: workers that come late to one must not disturb the next.
TEST(Parallel, ManySmallLoopsRunEachItemOnce) {
    const ThreadScope scope(3);
    std::vector<int> runs(5);
    for (int loop = 0; loop < 20'000; ++loop) {
        parallel_for(loop % 5 + 1, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
        if (loop % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    for (int i = 0; i < 5; ++i) EXPECT_EQ(runs[static_cast<std::size_t>(i)], 4000 * (5 - i));
}

TEST(Parallel, ItemsAfterAFailureAreSkipped) {
    const ThreadScope scope(1);
    int runs = 0;
    EXPECT_THROW(parallel_for(100,
                              [&](std::int64_t i) {
                                  ++runs;
                                  if (i == 10) throw std::runtime_error("stop");
                              }),
                 std::runtime_error);
    EXPECT_EQ(runs, 11);
}

TEST(Parallel, NestedLoopsRunSeriallyAndWhole) {
    std::vector<std::int64_t> sums(8);
    std::atomic<bool> one_thread{true};
    parallel_for(8, [&](std::int64_t i) {
        const std::thread::id thread = std::this_thread::get_id();
        parallel_for(100, [&](std::int64_t j) {
            if (std::this_thread::get_id() != thread) one_thread = false;
            sums[static_cast<std::size_t>(i)] += j;  // a race if it were not serial
        });
    });
    EXPECT_TRUE(one_thread);
    for (const std::int64_t sum : sums) EXPECT_EQ(sum, 4950);
}

}  // namespace
}  // namespace vq
