// SPDX-License-Identifier: Apache-2.0
// Low-rank term: the rank-r matrix that takes most off a residual's proxy loss,
//     L = argmin tr((R - L) H (R - L)^T),  L = SVD_r(R C) C^-1 with H = C C^T,
// as two factors of signed 8-bit integers with a scale for each of the r components
// (LQ-LoRA 2311.12023).
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace vq {

struct LowRank {
    Index rows = 0;
    Index cols = 0;
    std::vector<std::int8_t> left;   ///< size (rows, rank), -127..127
    std::vector<std::int8_t> right;  ///< size (rank, cols)
    std::vector<float> scale;        ///< size (rank)

    Index rank() const { return static_cast<Index>(scale.size()); }
    /// sum_k scale_k left_ik right_kj, size (rows, cols).
    Matrix dense() const;
};

/// The factors for residual R (m, n) and H (n, n), positive definite; rank at most min(m, n) is
/// used. The leading singular vectors come from a subspace iteration that starts from `seed`;
/// after the right factor is rounded the left one is solved again. Never worse than nothing: an
/// empty result when rounding ate the gain.
LowRank fit_low_rank(const Matrix& residual, const MatrixD& h, Index rank, std::uint64_t seed);

}  // namespace vq
