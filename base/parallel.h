// SPDX-License-Identifier: Apache-2.0
// Loops over independent items on all threads. Results never depend on the number of threads as long
// as item i writes only its own output: the split into items is the caller's and fixed, threads only
// decide who runs which item.
#pragma once

#include <omp.h>

#include <cstdint>
#include <memory>
#include <type_traits>

namespace vq {

/// Whether the calling thread runs an item of a parallel_for, or of a parallel region of OpenMP.
bool in_parallel();

/// item(loop, i) for i in [0, n) on omp_get_max_threads() threads: parallel_for() without its types.
void run_items(std::int64_t n, void (*item)(void* loop, std::int64_t i), void* loop);

/// Runs f(i) for i in [0, n), dynamically scheduled, on omp_get_max_threads() threads (`--threads`,
/// OMP_NUM_THREADS, ThreadScope). Inside another parallel_for it runs serially, and so do the
/// libraries that an item calls. The first exception that an item throws is rethrown here; the
/// items not yet begun are skipped.
template <class F>
void parallel_for(std::int64_t n, F&& f) {
    if (n <= 1 || in_parallel()) {
        for (std::int64_t i = 0; i < n; ++i) f(i);
        return;
    }
    using Loop = std::remove_reference_t<F>;
    run_items(
        n, [](void* loop, std::int64_t i) { (*static_cast<Loop*>(loop))(i); },
        const_cast<std::remove_const_t<Loop>*>(std::addressof(f)));
}

/// While alive, parallel loops of this thread, and parallel regions of libraries, have `count`
/// threads.
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
