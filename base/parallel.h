// Loops over independent items on all threads (OpenMP). Results never depend on the number of
// threads as long as item i writes only its own output: the split into items is the caller's and
// fixed, threads only decide who runs which item.
#pragma once

#include <omp.h>

#include <atomic>
#include <cstdint>
#include <exception>

namespace vq {

/// Runs f(i) for i in [0, n), dynamically scheduled. Inside another parallel_for it runs serially.
/// The first exception that an item throws is rethrown here; the items not yet begun are skipped.
/// One item runs without a parallel region: a region of one thread would count as none, and a
/// parallel_for in it would start and end threads of its own every time.
template <class F>
void parallel_for(std::int64_t n, F&& f) {
    if (n <= 1 || omp_in_parallel() != 0) {
        for (std::int64_t i = 0; i < n; ++i) f(i);
        return;
    }
    std::exception_ptr failure;
    std::atomic<bool> failed{false};
#pragma omp parallel for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < n; ++i) {
        if (failed.load(std::memory_order_relaxed)) continue;
        try {
            f(i);
        } catch (...) {
            if (!failed.exchange(true)) failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

/// While alive, parallel regions of this thread, those of libraries too, have `count` threads.
class ThreadScope {
public:
    explicit ThreadScope(int count) : saved_(omp_get_max_threads()) { omp_set_num_threads(count); }
    ~ThreadScope() { omp_set_num_threads(saved_); }
    ThreadScope(const ThreadScope&) = delete;
    ThreadScope& operator=(const ThreadScope&) = delete;

private:
    int saved_;
};

}  // namespace vq
