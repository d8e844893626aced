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

/// Rounds to the nearest integer with the sum's own rounding; |x| < 2^22. The same everywhere.
static inline std::int32_t round_to_int(float x) {
    constexpr float magic = 12582912.0F;  // 1.5 * 2^23
    return static_cast<std::int32_t>((x + magic) - magic);
}

/// x (n) to int8, rounded to nearest with scale max|x| / 127 a group: an error of at most 1/254 of
/// the group's largest value, evenly spread. The reference of Kernels::quantize.
void quantize_activations(const float* x, Index n, const ByteBuffers& out);

}  // namespace vq::decode
