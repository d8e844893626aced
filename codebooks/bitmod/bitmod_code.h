// SPDX-License-Identifier: Apache-2.0
// BitmodCode: a group of weights on a small floating-point grid with one value of the group's own
// in the place of the redundant negative zero (BitMoD 2411.11745). With b bits a weight and choice
// t of four:
//     b = 3: {0, +-1, +-2, +-4},                             special value -3, 3, -6 or 6
//     b = 4: {0, +-.5, +-1, +-1.5, +-2, +-3, +-4, +-6},      special value -5, 5, -8 or 8
// all times 1/2, which suits a Gaussian of variance 1 and keeps the values exact in fp16. A code is
// 2 bits for t, lowest, then b bits a weight: sign (highest) and magnitude; "minus zero" is the
// special value.
#pragma once

#include <array>
#include <vector>

#include "base/codes/code.h"
#include "base/codes/local_metric.h"

namespace vq {

class BitmodCode final : public Code {
public:
    /// dim: weights a group, 1..1024. bits: b, 3 or 4.
    BitmodCode(int dim, int bits);

    int dim() const override { return dim_; }
    int bits() const override { return code_bits(dim_, bits_); }
    /// With a diagonal metric, or none, the code of least error among all. With another one, the
    /// weights of a group are taken from the last to the first, each making good for the errors of
    /// those after it (nearest plane, M = L D L^T), once for each special value; the best is kept.
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                float* xhat) const override;
    void decode(const std::uint64_t* codes, Index n, float* xhat) const override;
    bool valid(const std::uint64_t* code) const override;
    Json describe() const override;

    int bits_per_weight() const { return bits_; }

    static constexpr int choices = 4;
    static constexpr int choice_bits = 2;
    /// Bits of a group's code.
    static constexpr int code_bits(int dim, int bits) { return choice_bits + dim * bits; }
    /// The code of a weight that stands for the special value.
    static constexpr int special_code(int bits) { return 1 << (bits - 1); }
    /// Of codes 0 .. 2^(b-1) - 1, ascending from 0.
    static std::vector<float> magnitudes(int bits);
    /// Of choices 0 .. 3.
    static std::vector<float> specials(int bits);

private:
    int nearest(float x) const;  ///< code of the nearest value but the special one
    int nearest(float x, int choice) const;
    double encode_diagonal(const float* x, const LocalMetric& metric, int choice,
                           std::uint8_t* found) const;
    double encode_plane(const float* x, const LocalMetric& metric, int choice, double stop,
                        float* targets, std::uint8_t* found) const;
    void pack(int choice, const std::uint8_t* found, std::uint64_t* code) const;

    int dim_;
    int bits_;
    std::vector<float> thresholds_;                      ///< between magnitudes
    std::array<std::array<float, 16>, choices> values_;  ///< [choice][code of a weight]
};

}  // namespace vq
