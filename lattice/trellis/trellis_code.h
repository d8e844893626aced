// SPDX-License-Identifier: Apache-2.0
// TrellisCode: a tile of T weights as one tail-biting sequence of a bitshift trellis with 2^16
// states, K bits a weight (QTIP 2406.11235). The code of a tile is a cyclic stream of T K bits, bit
// 0 lowest; the state of weight r is the 16-bit window from bit K r:
//     state_r = bits [K r, K r + 16) of the stream,      xhat_r = f(state_r),
// so that the low K bits of a state are the weight's own and the rest belong to those after it.
// (The trellis runs from the last weight to the first.) Values are for a Gaussian of variance 1.
#pragma once

#include "base/codes/code.h"
#include "lattice/trellis/trellis_function.h"
#include "lattice/trellis/viterbi.h"

namespace vq {

class TrellisCode final : public Code {
public:
    /// steps: T, with T K >= 16. bits: K, 1..4. tail: see Viterbi::encode.
    TrellisCode(int steps, int bits, int tail)
        : TrellisCode(steps, bits, tail, trellis_multiplier(bits)) {}
    /// With the multiplier of a stored code.
    TrellisCode(int steps, int bits, int tail, std::uint32_t multiplier);

    int dim() const override { return steps_; }
    int bits() const override { return steps_ * bits_; }
    /// `metric` is not used: vectors lie along outputs, where the Hessian is one number.
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                float* xhat) const override;
    /// One search, constrained to the seam of the code at hand: never worse than it.
    void improve(const float* x, Index n, const float* metric, std::uint64_t* codes,
                 float* xhat) const override;
    void decode(const std::uint64_t* codes, Index n, float* xhat) const override;
    bool valid(const std::uint64_t* code) const override;
    Json describe() const override;

    int bits_per_weight() const { return bits_; }
    std::uint32_t multiplier() const { return multiplier_; }

private:
    void finish(const std::uint16_t* states, std::uint64_t* code, float* xhat) const;

    int steps_;
    int bits_;
    int tail_;
    std::uint32_t multiplier_;
    std::shared_ptr<const std::vector<float>> values_;
    std::shared_ptr<const Viterbi> viterbi_;
};

/// T for a tensor of `rows` rows: the number of rows that costs the least padding, then the one
/// that gives an even number of tiles (for two threads), then the longest; a multiple of 32, at
/// most 320 where rows are more.
int trellis_tile_rows(Index rows);

}  // namespace vq
