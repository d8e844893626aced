// SPDX-License-Identifier: Apache-2.0
// AdditiveSearch: codes of vectors under a sum of codebooks, xhat = sum_m C_m[i_m], in plain L2.
// Beam search over the stages, then revisions (iterated conditional modes); see residual_code.h.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "codebooks/assign/assigner.h"

namespace vq {

class AdditiveSearch {
public:
    /// codebooks[m]: size (2^stage_bits[m], d); assigners[m] is over it. All must outlive this.
    AdditiveSearch(const std::vector<Matrix>& codebooks, const std::vector<Assigner>& assigners,
                   const std::vector<int>& stage_bits);

    /// codes: size (n), stage 1 in the lowest bits. `from_codes`: the codes given compete with what
    /// the beam finds. x: size (n, d).
    void run(const float* x, Index n, int beam, int revisions, bool from_codes,
             std::uint64_t* codes) const;

private:
    /// `width` candidates of each vector: their codes and x - xhat, size (n, width [, d]).
    struct Candidates {
        Index width = 1;
        std::vector<std::uint64_t> codes;
        std::vector<float> residual;
    };
    void extend(Candidates& c, std::size_t stage, Index t, Index keep) const;
    void append(Candidates& c, const float* x, const std::uint64_t* codes) const;
    void revise(Candidates& c) const;
    std::uint64_t word(std::uint64_t code, std::size_t stage) const {
        return code >> shift_[stage] & ((1ull << stage_bits_[stage]) - 1);
    }

    const std::vector<Matrix>& codebooks_;
    const std::vector<Assigner>& assigners_;
    const std::vector<int>& stage_bits_;
    std::vector<int> shift_;
    Index d_;
};

}  // namespace vq
