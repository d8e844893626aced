// SPDX-License-Identifier: Apache-2.0
// Kernels that read codes from one end to the other ask for what comes next themselves: the
// processor's own prefetching ends at every page of 4 KB.
#pragma once

#include <cstdint>

#include "base/packed/segment.h"

namespace vq::decode {

/// How far ahead; from 4 to 16 KB it makes no difference.
inline constexpr Index prefetch_ahead = 8192;

/// For codes [at, at + bytes), of which the ones further on may lie past the end: nothing is read.
static inline void prefetch_after(const std::uint8_t* at, Index bytes) {
    for (Index i = 0; i < bytes; i += 64) __builtin_prefetch(at + prefetch_ahead + i);
}

}  // namespace vq::decode
