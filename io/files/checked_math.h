// SPDX-License-Identifier: Apache-2.0
// Arithmetic on sizes that come from files: nothing wraps around.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace vq {

/// a * b for a, b >= 0; nothing when it does not fit.
inline std::optional<std::int64_t> checked_product(std::int64_t a, std::int64_t b) {
    std::int64_t product = 0;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return product;
}

/// The number of elements of a shape; nothing when an extent is negative or it does not fit.
inline std::optional<std::int64_t> checked_count(std::span<const std::int64_t> shape) {
    std::optional<std::int64_t> count = 1;
    for (const std::int64_t extent : shape) {
        if (!count) return std::nullopt;
        count = checked_product(*count, extent);
    }
    return count;
}

}  // namespace vq
