// SPDX-License-Identifier: Apache-2.0
// E8pCode: vectors of 8 weights as points of the E8P codebook (e8p_table.h), in one stage (2 bits a
// weight) or two: xhat = gain_1 p_1 + gain_2 p_2, where p_2 is one of the 256 short vectors of E8
// (3 bits) or another E8P point (4 bits). QuIP# 2402.04396. Gains are for a Gaussian of variance 1.
#pragma once

#include <vector>

#include "base/codes/code.h"
#include "codebooks/assign/assigner.h"

namespace vq {

class E8pCode final : public Code {
public:
    /// stage_bits: {16}, {16, 8} or {16, 16}. beam: points of the first stage that are followed
    /// up, and candidates that are compared in the local metric.
    E8pCode(std::vector<int> stage_bits, int beam);

    int dim() const override { return 8; }
    int bits() const override { return bits_; }
    /// Without a metric a single stage is exact: the nearest of all 2^16 points.
    void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                float* xhat) const override;
    void decode(const std::uint64_t* codes, Index n, float* xhat) const override;
    bool valid(const std::uint64_t* code) const override { return *code >> bits_ == 0; }
    Json describe() const override;

    /// Bits of each stage, and its gain.
    const std::vector<int>& stages() const { return stage_bits_; }
    const std::vector<float>& gains() const { return gains_; }
    static const std::vector<std::vector<int>>& stage_choices();

private:
    std::uint64_t encode_one(const float* x, const float* metric) const;

    std::vector<int> stage_bits_;
    std::vector<float> gains_;
    int bits_ = 0;
    int beam_ = 1;
    Assigner short_vectors_;
};

}  // namespace vq
