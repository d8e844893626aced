// SPDX-License-Identifier: Apache-2.0
#include "io/files/array.h"

#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/half.h"

namespace vq {

std::int64_t element_bytes(ElementType type) {
    switch (type) {
        case ElementType::u8: return 1;
        case ElementType::u16:
        case ElementType::f16: return 2;
        case ElementType::i32:
        case ElementType::u32:
        case ElementType::f32: return 4;
        case ElementType::u64:
        case ElementType::f64: return 8;
    }
    VQ_ASSERT(!"an element type");
}

std::int64_t Array::count() const {
    std::int64_t product = 1;
    for (const std::int64_t extent : shape) {
        VQ_ASSERT(extent >= 0);
        VQ_ASSERT(!__builtin_mul_overflow(product, extent, &product));
    }
    return product;
}

Array Array::from_f32(std::vector<std::int64_t> shape, const float* values) {
    Array array{ElementType::f32, std::move(shape), {}};
    array.bytes.resize(static_cast<std::size_t>(array.count()) * sizeof(float));
    if (!array.bytes.empty()) std::memcpy(array.bytes.data(), values, array.bytes.size());
    return array;
}

Array Array::from_f16(std::vector<std::int64_t> shape, const float* values) {
    Array array{ElementType::f16, std::move(shape), {}};
    const auto n = static_cast<std::size_t>(array.count());
    array.bytes.resize(n * sizeof(Half));
    // operator new aligns for every plain type, so the bytes may be used as halves.
    half_from_float(values, static_cast<std::int64_t>(n),
                    reinterpret_cast<Half*>(array.bytes.data()));
    return array;
}

Array Array::from_u8(std::vector<std::uint8_t> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return {ElementType::u8, {n}, std::move(values)};
}

Array Array::from_integers(ElementType type, const std::vector<std::uint32_t>& values) {
    VQ_ASSERT(type == ElementType::u16 || type == ElementType::u32);
    Array array{type, {static_cast<std::int64_t>(values.size())}, {}};
    const auto width = static_cast<int>(element_bytes(type));
    for (const std::uint32_t value : values) {
        VQ_ASSERT(type == ElementType::u32 || value <= 0xFFFF);
        for (int b = 0; b < width; ++b)
            array.bytes.push_back(static_cast<std::uint8_t>(value >> (8 * b)));
    }
    return array;
}

std::vector<std::uint32_t> Array::to_u32() const {
    VQ_ASSERT(type == ElementType::u16 || type == ElementType::u32);
    const auto n = static_cast<std::size_t>(count());
    const auto width = static_cast<std::size_t>(element_bytes(type));
    VQ_ASSERT(bytes.size() == n * width);
    std::vector<std::uint32_t> out(n, 0);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t b = 0; b < width; ++b)
            out[i] |= static_cast<std::uint32_t>(bytes[i * width + b]) << (8 * b);
    return out;
}

ElementType index_type(std::int64_t limit) {
    return limit <= 65536 ? ElementType::u16 : ElementType::u32;
}

std::vector<float> Array::to_f32() const {
    const auto n = static_cast<std::size_t>(count());
    VQ_ASSERT(bytes.size() == n * static_cast<std::size_t>(element_bytes(type)));
    std::vector<float> out(n);
    if (n == 0) return out;
    if (type == ElementType::f32) {
        std::memcpy(out.data(), bytes.data(), bytes.size());
    } else if (type == ElementType::f16) {
        float_from_half(reinterpret_cast<const Half*>(bytes.data()), static_cast<std::int64_t>(n),
                        out.data());
    } else {
        VQ_ASSERT(type == ElementType::f64);
        for (std::size_t i = 0; i < n; ++i) {
            double value = 0;
            std::memcpy(&value, bytes.data() + i * sizeof(double), sizeof(double));
            out[i] = static_cast<float>(value);
        }
    }
    return out;
}

}  // namespace vq
