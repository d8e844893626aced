// SPDX-License-Identifier: Apache-2.0
#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "base/cancel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vq {

namespace {

// Why not OpenMP's own loops: at their end every thread waits for every other, also for one that has
// nothing left to do, and libgomp's threads spin for milliseconds while they wait. Beside another
// busy process that is the worst that can be done: the thread that shares a core with it is waited
// for on a core that is kept busy by waiting, so the system cannot move it there (measured: 3 times
// slower than the fair share). Here the caller waits only for items that are being worked on, and
// whoever waits sleeps after a moment.

/// Longer than it takes from the end of one loop to the next in a row of small ones, as in text
/// generation, shorter than another process would notice.
constexpr std::chrono::microseconds spin_time{50};

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
}

/// Returns when `value` is another than `old`; looks for a moment, then sleeps.
std::uint32_t wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    const auto end = std::chrono::steady_clock::now() + spin_time;
    do {
        for (int i = 0; i < 16; ++i) {
            const std::uint32_t now = value.load(std::memory_order_acquire);
            if (now != old) return now;
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    value.wait(old, std::memory_order_acquire);
    return value.load(std::memory_order_acquire);
}

thread_local bool runs_items = false;

/// Threads of one calling thread, and the loop that they work on.
class Team {
public:
    Team() = default;
    ~Team() {
        stopping_.store(true, std::memory_order_relaxed);
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    void run(std::int64_t n, void (*item)(void*, std::int64_t), void* loop, int threads) {
        // The caller is one of them.
        const auto helpers =
            static_cast<std::uint32_t>(std::min<std::int64_t>(n, std::max(threads, 1)) - 1);
        while (workers_.size() < helpers) workers_.emplace_back([this] { work(); });
        n_ = n;
        item_ = item;
        loop_ = loop;
        cancel_ = CancelScope::in_force();
        helpers_.store(helpers, std::memory_order_relaxed);
        next_.store(0, std::memory_order_relaxed);
        failed_.store(false, std::memory_order_relaxed);
        inside_.fetch_and(~closed, std::memory_order_release);
        if (helpers > 0) {
            round_.fetch_add(1, std::memory_order_release);
            if (helpers == workers_.size())
                round_.notify_all();
            else
                for (std::uint32_t i = 0; i < helpers; ++i) round_.notify_one();
        }
        {
            const ThreadScope serial(1);
            runs_items = true;
            take_items();
            runs_items = false;
        }
        // From here on nobody can join; those who did are finishing their last item.
        std::uint32_t inside = inside_.fetch_or(closed, std::memory_order_acq_rel) | closed;
        while (inside != closed) inside = wait_for_change(inside_, inside);
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

private:
    static constexpr std::uint32_t closed = 1u << 31;

    void take_items() {
        for (;;) {
            const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
            if (i >= n_ || failed_.load(std::memory_order_relaxed)) return;
            try {
                const CancelScope scope(cancel_);
                check_cancelled();
                item_(loop_, i);
            } catch (...) {
                if (!failed_.exchange(true)) failure_ = std::current_exception();
            }
        }
    }

    void work() {
        omp_set_num_threads(1);  // of libraries that items call
        runs_items = true;
        std::uint32_t round = 0;
        for (;;) {
            round = wait_for_change(round_, round);
            if (stopping_.load(std::memory_order_relaxed)) return;
            // Whoever comes too late, or is one too many, touches nothing of the loop.
            const std::uint32_t before = inside_.fetch_add(1, std::memory_order_acquire);
            if ((before & closed) == 0 && before < helpers_.load(std::memory_order_relaxed))
                take_items();
            // The last one out, once the caller has closed the loop, wakes it.
            if (inside_.fetch_sub(1, std::memory_order_release) == closed + 1) inside_.notify_one();
        }
    }

    std::vector<std::thread> workers_;
    // The loop: written by the caller while nobody is inside.
    std::int64_t n_ = 0;
    void (*item_)(void*, std::int64_t) = nullptr;
    void* loop_ = nullptr;
    const std::function<bool()>* cancel_ = nullptr;  ///< the caller's scope
    std::exception_ptr failure_;
    std::atomic<std::uint32_t> helpers_{0};  ///< that may join
    std::atomic<bool> failed_{false};
    std::atomic<bool> stopping_{false};
    // Apart, since all threads write the first while they look at the others.
    alignas(64) std::atomic<std::int64_t> next_{0};
    alignas(64) std::atomic<std::uint32_t> inside_{closed};  ///< workers, and whether more may join
    alignas(64) std::atomic<std::uint32_t> round_{0};        ///< of loops; changes wake the workers
};

}  // namespace

bool in_parallel() {
    return runs_items || omp_in_parallel() != 0;
}

void run_items(std::int64_t n, void (*item)(void* loop, std::int64_t i), void* loop) {
    // One for each thread that calls: loops of different threads do not wait for each other.
    thread_local Team team;
    team.run(n, item, loop, omp_get_max_threads());
}

}  // namespace vq
