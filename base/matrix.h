// SPDX-License-Identifier: Apache-2.0
// The dense types that every part shares. All matrices are row-major: W(i, j) is output row i,
// input column j, so that a row is contiguous, as checkpoints store it.
#pragma once

#include <Eigen/Core>
#include <cstdint>

namespace vq {

using Index = std::int64_t;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixD = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::Matrix<float, Eigen::Dynamic, 1>;
using VectorD = Eigen::Matrix<double, Eigen::Dynamic, 1>;

}  // namespace vq
