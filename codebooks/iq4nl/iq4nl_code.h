// SPDX-License-Identifier: Apache-2.0
// Iq4nlCode: 32 weights, each one of 16 fixed values, with a scale of their own: ggml's IQ4_NL,
//     xhat_j = scale * levels[q_j],   4.5 bits a weight.
// The levels lie closer together around zero, where most weights are. A code is the scale as fp16
// in its lowest 16 bits, then 4 bits a weight in order. (ggml's block has the same scale and puts
// weight j + 16 into the high half of the byte of weight j.)
#pragma once

#include <array>

#include "base/codes/code.h"

namespace vq {

class Iq4nlCode final : public Code {
public:
    int dim() const override { return block; }
    int bits() const override { return code_bits; }
    /// Scales of both signs (the levels are not symmetric) and of several sizes are tried; the codes
    /// of each are the nearest levels, and the scale is then solved for them in closed form under
    /// diag(M). With a full metric the weights are also taken from the last to the first, each
    /// making good for the errors of those after it (nearest plane), and the better code is kept.
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                float* xhat) const override;
    void decode(const std::uint64_t* codes, Index n, float* xhat) const override;
    /// Scales that are not finite are never written.
    bool valid(const std::uint64_t* code) const override;
    Json describe() const override;

    static constexpr int block = 32;  ///< weights a code
    static constexpr int scale_bits = 16;
    static constexpr int index_bits = 4;
    static constexpr int code_bits = scale_bits + block * index_bits;
    static constexpr std::array<int, 16> levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                   1,    13,   25,  38,  53,  69,  89,  113};
};

}  // namespace vq
