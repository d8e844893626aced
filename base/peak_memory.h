// SPDX-License-Identifier: Apache-2.0
// Most memory that this process held resident, since it began or since it was last asked to forget.
#pragma once

#include <cstdint>

namespace vq {

/// In bytes; 0 where the system does not say.
std::int64_t peak_memory();

/// From now on peak_memory() is that of what follows. False where the system cannot.
bool forget_peak_memory();

}  // namespace vq
