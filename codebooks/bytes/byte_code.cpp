// SPDX-License-Identifier: Apache-2.0
#include "codebooks/bytes/byte_code.h"

#include <algorithm>
#include <cmath>

#include "base/bits.h"

namespace vq {

namespace {

constexpr float most_value = 127.0F;
constexpr float most_scale = 65504.0F;  // beyond it fp16 has infinity

void encode_block(const float* x, std::uint64_t* code) {
    float most = 0;
    for (int j = 0; j < ByteCode::block; ++j) most = std::max(most, std::abs(x[j]));
    const Half scale = half_from_float(std::min(most / most_value, most_scale));
    const float step = float_from_half(scale);
    write_field(code, 0, ByteCode::scale_bits, scale);
    for (int j = 0; j < ByteCode::block; ++j) {
        // A scale that was rounded down, or to zero, asks for more than 127 steps.
        const float q = step > 0 ? std::nearbyint(x[j] / step) : 0;
        const auto value =
            static_cast<std::uint8_t>(static_cast<int>(std::clamp(q, -most_value, most_value)));
        write_field(code, ByteCode::scale_bits + j * ByteCode::value_bits, ByteCode::value_bits,
                    value);
    }
}

}  // namespace

Half ByteCode::scale_of(const std::uint64_t* code) {
    return static_cast<Half>(read_field(code, 0, scale_bits));
}

std::int8_t ByteCode::value_of(const std::uint64_t* code, int j) {
    return static_cast<std::int8_t>(read_field(code, scale_bits + j * value_bits, value_bits));
}

void ByteCode::encode(const float* x, Index n, const float* /*metric*/, std::uint64_t* codes,
                      float* xhat) const {
    std::fill_n(codes, n * words(), 0);
    for (Index i = 0; i < n; ++i) encode_block(x + i * block, codes + i * words());
    decode(codes, n, xhat);
}

void ByteCode::decode(const std::uint64_t* codes, Index n, float* xhat) const {
    for (Index i = 0; i < n; ++i) {
        const std::uint64_t* code = codes + i * words();
        const float scale = float_from_half(scale_of(code));
        for (int j = 0; j < block; ++j)
            xhat[i * block + j] = static_cast<float>(value_of(code, j)) * scale;
    }
}

bool ByteCode::valid(const std::uint64_t* code) const {
    const float scale = float_from_half(scale_of(code));
    if (!std::isfinite(scale) || std::signbit(scale)) return false;
    for (int j = 0; j < block; ++j)
        if (value_of(code, j) == -128) return false;
    return code[words() - 1] >> (code_bits % 64) == 0;
}

Json ByteCode::describe() const {
    return {{"code", "bytes"}, {"dim", block}};
}

}  // namespace vq
