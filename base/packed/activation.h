// SPDX-License-Identifier: Apache-2.0
// Activations rounded to int8, as the integer kernels read them.
#pragma once

#include "base/packed/segment.h"

namespace vq::decode {

/// Columns that share one scale of the int8 activations.
inline constexpr Index activation_group = 128;
/// The bytes of activations are padded with zeros to a multiple of it.
inline constexpr Index byte_padding = 32;

/// Activations of one segment as int8, a scale a group of activation_group columns.
struct ByteActivations {
    /// size (cols / 2), padded: the bytes (q_j, q_j, q_{j+1}, q_{j+1}) of a pair of columns, q_j in
    /// the lowest byte.
    const std::uint32_t* pairs;
    const std::int8_t* bytes;  ///< size (cols), padded
    const float* scales;       ///< size (groups): x = scale * q
    const std::int32_t* sums;  ///< size (groups): sum of q
};

/// Where ByteActivations are written, with the same layout.
struct ByteBuffers {
    std::uint32_t* pairs;
    std::int8_t* bytes;
    float* scales;
    std::int32_t* sums;
};

/// Parts of scratch begin at multiples of 64 bytes: a cache line, and a register of AVX-512.
static inline Index whole_lines(Index bytes) {
    return (bytes + 63) / 64 * 64;
}

/// Where the parts of ByteActivations lie in one piece of memory; pairs come first.
struct ByteRoom {
    Index bytes, scales, sums;
    Index end;  ///< bytes of all of them; what a code adds of its own may begin there
};
static inline ByteRoom byte_room(Index values, Index pairs, Index groups) {
    ByteRoom at{};
    at.bytes = whole_lines(4 * pairs);
    at.scales = at.bytes + whole_lines(values);
    at.sums = at.scales + whole_lines(4 * groups);
    at.end = at.sums + whole_lines(4 * groups);
    return at;
}
static inline ByteRoom byte_room(Index cols) {
    const Index padded = ceil_div(cols, byte_padding) * byte_padding;
    return byte_room(padded, padded / 2, ceil_div(cols, activation_group));
}
static inline ByteBuffers buffers_in(void* memory, const ByteRoom& at) {
    auto* first = static_cast<std::uint8_t*>(memory);
    return {reinterpret_cast<std::uint32_t*>(first),
            reinterpret_cast<std::int8_t*>(first + at.bytes),
            reinterpret_cast<float*>(first + at.scales),
            reinterpret_cast<std::int32_t*>(first + at.sums)};
}
static inline ByteActivations activations_in(const void* memory, const ByteRoom& at) {
    const auto* first = static_cast<const std::uint8_t*>(memory);
    return {reinterpret_cast<const std::uint32_t*>(first),
            reinterpret_cast<const std::int8_t*>(first + at.bytes),
            reinterpret_cast<const float*>(first + at.scales),
            reinterpret_cast<const std::int32_t*>(first + at.sums)};
}

/// Rounds to the nearest integer with the sum's own rounding; |x| < 2^22. The same everywhere.
static inline std::int32_t round_to_int(float x) {
    constexpr float magic = 12582912.0F;  // 1.5 * 2^23
    return static_cast<std::int32_t>((x + magic) - magic);
}

/// x (n) to int8, rounded to nearest with scale max|x| / 127 a group: an error of at most 1/254 of
/// the group's largest value, evenly spread. The reference of Kernels::quantize.
void quantize_activations(const float* x, Index n, const ByteBuffers& out);

}  // namespace vq::decode
