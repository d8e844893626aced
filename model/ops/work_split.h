// SPDX-License-Identifier: Apache-2.0
// How loops of the runtime are shared out among threads. None of this changes results: items are
// the same whoever runs them.
#pragma once

#include <omp.h>

#include <algorithm>

#include "base/matrix.h"
#include "base/parallel.h"

namespace vq {

/// Below this many multiply-adds a loop costs less than to wake the threads for it.
inline constexpr Index parallel_work = 200'000;

/// parallel_for over n items that take `work` multiply-adds together; serial when that is little.
template <class F>
void parallel_for_work(Index n, Index work, F&& f) {
    if (work < parallel_work) {
        for (Index i = 0; i < n; ++i) f(i);
    } else {
        parallel_for(n, f);
    }
}

/// For items that are parallel inside too: items in parallel when there is one for every thread,
/// else one after the other, each on all threads.
template <class F>
void parallel_for_outer(Index n, F&& f) {
    if (in_parallel() || n < omp_get_max_threads()) {
        for (Index i = 0; i < n; ++i) f(i);
    } else {
        parallel_for(n, f);
    }
}

}  // namespace vq
