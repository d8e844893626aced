// SPDX-License-Identifier: Apache-2.0
// Bit-packed integers: value i of width b occupies bits [i*b, (i+1)*b) of the stream, bit 0 being
// the least significant bit of byte 0. Values may cross byte boundaries; b <= 64.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"

namespace vq {

/// Bytes that `count` values of `width` bits take.
constexpr std::int64_t packed_bytes(std::int64_t count, int width) {
    return (count * width + 7) / 8;
}

/// Packs values (each < 2^width) into packed_bytes(values.size(), width) bytes.
inline std::vector<std::uint8_t> pack_bits(std::span<const std::uint64_t> values, int width) {
    VQ_ASSERT(width >= 1 && width <= 64);
    std::vector<std::uint8_t> out(
        static_cast<std::size_t>(packed_bytes(static_cast<std::int64_t>(values.size()), width)));
    unsigned __int128 buffer = 0;
    int filled = 0;
    std::size_t at = 0;
    for (const std::uint64_t value : values) {
        VQ_ASSERT(width == 64 || (value >> width) == 0);
        buffer |= static_cast<unsigned __int128>(value) << filled;
        for (filled += width; filled >= 8; filled -= 8, buffer >>= 8)
            out[at++] = static_cast<std::uint8_t>(buffer);
    }
    if (filled > 0) out[at] = static_cast<std::uint8_t>(buffer);
    return out;
}

/// The inverse of pack_bits. Throws InternalError when `bytes` is too short for `count` values:
/// callers check lengths that come from a file first.
inline std::vector<std::uint64_t> unpack_bits(std::span<const std::uint8_t> bytes,
                                              std::int64_t count, int width) {
    VQ_ASSERT(width >= 1 && width <= 64);
    VQ_ASSERT(static_cast<std::int64_t>(bytes.size()) >= packed_bytes(count, width));
    std::vector<std::uint64_t> out(static_cast<std::size_t>(count));
    const std::uint64_t mask = width == 64 ? ~0ull : (1ull << width) - 1;
    unsigned __int128 buffer = 0;
    int filled = 0;
    std::size_t at = 0;
    for (std::uint64_t& value : out) {
        for (; filled < width; filled += 8)
            buffer |= static_cast<unsigned __int128>(bytes[at++]) << filled;
        value = static_cast<std::uint64_t>(buffer) & mask;
        buffer >>= width;
        filled -= width;
    }
    return out;
}

/// Bits [at, at + width) of a code that is held in 64-bit words, width <= 32.
inline std::uint32_t read_field(const std::uint64_t* words, int at, int width) {
    std::uint64_t out = words[at / 64] >> (at % 64);
    if (at % 64 + width > 64) out |= words[at / 64 + 1] << (64 - at % 64);
    return static_cast<std::uint32_t>(out & ((1ull << width) - 1));
}

/// Sets bits [at, at + width), which must be zero, to value < 2^width.
inline void write_field(std::uint64_t* words, int at, int width, std::uint64_t value) {
    words[at / 64] |= value << (at % 64);
    if (at % 64 + width > 64) words[at / 64 + 1] |= value >> (64 - at % 64);
}

/// Packs `count` codes of `width` bits each, any width, held in (width + 63) / 64 words each.
inline std::vector<std::uint8_t> pack_codes(std::span<const std::uint64_t> words,
                                            std::int64_t count, int width) {
    if (width <= 64) return pack_bits(words, width);
    const int each = (width + 63) / 64;
    VQ_ASSERT(static_cast<std::int64_t>(words.size()) == count * each);
    if (width % 64 == 0) return pack_bits(words, 64);
    if (width % 8 == 0) {
        std::vector<std::uint8_t> out;
        out.reserve(static_cast<std::size_t>(packed_bytes(count, width)));
        for (std::int64_t i = 0; i < count; ++i)
            for (int b = 0; b < width; b += 8)
                out.push_back(
                    static_cast<std::uint8_t>(words.data()[i * each + b / 64] >> (b % 64)));
        return out;
    }
    std::vector<std::uint8_t> out(static_cast<std::size_t>(packed_bytes(count, width)));
    for (std::int64_t i = 0; i < count; ++i)
        for (int b = 0; b < width; ++b) {
            const std::uint64_t bit = words.data()[i * each + b / 64] >> (b % 64) & 1;
            const std::int64_t at = i * width + b;
            std::uint8_t& byte = out.data()[at / 8];
            byte = static_cast<std::uint8_t>(byte | bit << (at % 8));
        }
    return out;
}

/// The inverse of pack_codes.
inline std::vector<std::uint64_t> unpack_codes(std::span<const std::uint8_t> bytes,
                                               std::int64_t count, int width) {
    if (width <= 64) return unpack_bits(bytes, count, width);
    const int each = (width + 63) / 64;
    if (width % 64 == 0) return unpack_bits(bytes, count * each, 64);
    VQ_ASSERT(static_cast<std::int64_t>(bytes.size()) >= packed_bytes(count, width));
    std::vector<std::uint64_t> out(static_cast<std::size_t>(count * each));
    if (width % 8 == 0) {
        const std::uint8_t* from = bytes.data();
        for (std::int64_t i = 0; i < count; ++i)
            for (int b = 0; b < width; b += 8)
                out.data()[i * each + b / 64] |= std::uint64_t{*from++} << (b % 64);
        return out;
    }
    for (std::int64_t i = 0; i < count; ++i)
        for (int b = 0; b < width; ++b) {
            const std::int64_t at = i * width + b;
            const int bit = bytes.data()[at / 8] >> (at % 8) & 1;
            out.data()[i * each + b / 64] |= static_cast<std::uint64_t>(bit) << (b % 64);
        }
    return out;
}

}  // namespace vq
