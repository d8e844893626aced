// SPDX-License-Identifier: Apache-2.0
// Sparse term: the few weights that cost a code most, kept in 16 bits beside it, row by row
// (SqueezeLLM 2306.07629).
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace vq {

/// Compressed sparse rows; values as the store keeps them (fp16).
struct SparseWeights {
    Index cols = 0;
    std::vector<std::uint32_t> begin;   ///< size (rows + 1): where each row's entries begin
    std::vector<std::uint32_t> column;  ///< rising within a row
    std::vector<float> value;

    Index rows() const { return begin.empty() ? 0 : static_cast<Index>(begin.size()) - 1; }
    Index count() const { return static_cast<Index>(value.size()); }
    /// out += these, out (rows, cols).
    void add_to(Matrix& out) const;
};

/// How many weights of a tensor a share is: rounded down.
Index sparse_count(Index rows, Index cols, double share);

/// The `count` weights of residual R (m, n) with the largest R_ij^2 H_jj, and the values there
/// that make tr((R - S) H (R - S)^T) least: for each row, H restricted to its columns is solved.
SparseWeights fit_sparse(const Matrix& residual, const MatrixD& h, Index count);

}  // namespace vq
