// SPDX-License-Identifier: Apache-2.0
// Array: an n-dimensional array of plain elements, as the store keeps them. It owns its bytes and
// knows their type and shape, nothing of their meaning.
#pragma once

#include <cstdint>
#include <vector>

namespace vq {

enum class ElementType { u8, u16, i32, u32, u64, f16, f32, f64 };
std::int64_t element_bytes(ElementType type);

/// An n-dimensional array of plain elements; f16 holds IEEE half bits. In HDF5 an f16 array is a
/// true 16-bit float type, so that h5py reads it as float16.
struct Array {
    ElementType type = ElementType::u8;
    std::vector<std::int64_t> shape;
    std::vector<std::uint8_t> bytes;  ///< row-major, little-endian

    std::int64_t count() const;  ///< product of shape
    static Array from_f32(std::vector<std::int64_t> shape, const float* values);
    static Array from_f16(std::vector<std::int64_t> shape, const float* values);  ///< rounds
    static Array from_u8(std::vector<std::uint8_t> values);  ///< one-dimensional, e.g. packed codes
    /// One-dimensional, of type u16 or u32; the values must fit.
    static Array from_integers(ElementType type, const std::vector<std::uint32_t>& values);
    bool is_float() const {
        return type == ElementType::f16 || type == ElementType::f32 || type == ElementType::f64;
    }
    std::vector<float> to_f32() const;          ///< from f16, f32, f64
    std::vector<std::uint32_t> to_u32() const;  ///< from u16, u32
};

/// The type of indices below `limit`: u16 as long as they fit.
ElementType index_type(std::int64_t limit);

}  // namespace vq
