// SPDX-License-Identifier: Apache-2.0
// ByteCode: 32 weights as 8-bit integers with a scale of their own, xhat_j = scale q_j. What
// matrices that matter too much for fewer bits (embeddings, the head) are stored by: 8.5 bits a
// weight, and a row decodes alone. A code is the scale as fp16 in its lowest 16 bits, then one byte
// a weight, -127 .. 127 in two's complement.
#pragma once

#include "base/codes/code.h"
#include "base/half.h"

namespace vq {

class ByteCode final : public Code {
public:
    int dim() const override { return block; }
    int bits() const override { return code_bits; }
    /// The scale is the largest |x| / 127, rounded to fp16 (at most its largest number), and every
    /// weight is rounded to the nearest step. `metric` is not used: with so many bits the nearest
    /// value is as good as any.
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                float* xhat) const override;
    void decode(const std::uint64_t* codes, Index n, float* xhat) const override;
    /// Scales that are negative or not finite, and the value -128, are never written.
    bool valid(const std::uint64_t* code) const override;
    Json describe() const override;

    /// Of one code.
    static Half scale_of(const std::uint64_t* code);
    static std::int8_t value_of(const std::uint64_t* code, int j);

    static constexpr int block = 32;  ///< weights a code
    static constexpr int scale_bits = 16;
    static constexpr int value_bits = 8;
    static constexpr int code_bits = scale_bits + block * value_bits;
};

}  // namespace vq
