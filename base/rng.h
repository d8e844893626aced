// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: value i of stream `seed` depends on nothing else, so any thread can
// draw any part of a sequence. The mixer is SplitMix64 (Steele, Lea, Flood 2014).
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace vq {

/// 64 random bits from (seed, i).
inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t i) {
    std::uint64_t z = seed * 0xD1342543DE82EF95ull + (i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/// Uniform in (0, 1).
inline double random_uniform(std::uint64_t seed, std::uint64_t i) {
    return (static_cast<double>(random_bits(seed, i) >> 11) + 0.5) * 0x1.0p-53;
}

/// Standard normal, by Box-Muller on draws 2i and 2i + 1.
inline double random_normal(std::uint64_t seed, std::uint64_t i) {
    const double radius = std::sqrt(-2.0 * std::log(random_uniform(seed, 2 * i)));
    return radius * std::cos(2.0 * std::numbers::pi * random_uniform(seed, 2 * i + 1));
}

/// +1 or -1.
inline float random_sign(std::uint64_t seed, std::uint64_t i) {
    return (random_bits(seed, i) >> 63) != 0 ? -1.0F : 1.0F;
}

}  // namespace vq
