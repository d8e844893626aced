// SPDX-License-Identifier: Apache-2.0
#include "base/codes/code_array.h"

#include <cstring>

#include "base/error.h"

namespace vq {

namespace {

Index bytes_of_a_code(int bits) {
    // Widths that a load widens by itself: packed to the bit a sweep over single codes would be
    // slower, 8 bytes each would be twice the weights.
    if (bits > 64) return (bits + 63) / 64 * 8;
    return bits > 32 ? 8 : bits > 16 ? 4 : bits > 8 ? 2 : 1;
}

template <class T>
void widen(const std::uint8_t* from, Index n, std::uint64_t* out) {
    for (Index i = 0; i < n; ++i) {
        T value;
        std::memcpy(&value, from + i * static_cast<Index>(sizeof(T)), sizeof(T));
        out[i] = value;
    }
}

template <class T>
void narrow(const std::uint64_t* from, Index n, std::uint8_t* out) {
    for (Index i = 0; i < n; ++i) {
        const auto value = static_cast<T>(from[i]);
        std::memcpy(out + i * static_cast<Index>(sizeof(T)), &value, sizeof(T));
    }
}

}  // namespace

CodeArray::CodeArray(Index count, int bits)
    : count_(count), bits_(bits), width_(bytes_of_a_code(bits)) {
    VQ_ASSERT(count >= 0 && bits >= 1);
    data_.resize(static_cast<std::size_t>(count * width_));
}

CodeArray::CodeArray(std::span<const std::uint64_t> words, int bits)
    : CodeArray(static_cast<Index>(words.size()) / ((bits + 63) / 64), bits) {
    VQ_ASSERT(static_cast<Index>(words.size()) == count_ * this->words());
    write(0, count_, words.data());
}

void CodeArray::read(Index first, Index n, std::uint64_t* out) const {
    VQ_ASSERT(first >= 0 && n >= 0 && first + n <= count_);
    const std::uint8_t* from = data_.data() + first * width_;
    switch (width_) {
        case 1: widen<std::uint8_t>(from, n, out); break;
        case 2: widen<std::uint16_t>(from, n, out); break;
        case 4: widen<std::uint32_t>(from, n, out); break;
        default: std::memcpy(out, from, static_cast<std::size_t>(n * width_));
    }
}

void CodeArray::write(Index first, Index n, const std::uint64_t* from) {
    VQ_ASSERT(first >= 0 && n >= 0 && first + n <= count_);
    std::uint8_t* out = data_.data() + first * width_;
    switch (width_) {
        case 1: narrow<std::uint8_t>(from, n, out); break;
        case 2: narrow<std::uint16_t>(from, n, out); break;
        case 4: narrow<std::uint32_t>(from, n, out); break;
        default: std::memcpy(out, from, static_cast<std::size_t>(n * width_));
    }
}

std::vector<std::uint64_t> CodeArray::unpacked() const {
    std::vector<std::uint64_t> out(static_cast<std::size_t>(count_ * words()));
    read(0, count_, out.data());
    return out;
}

}  // namespace vq
