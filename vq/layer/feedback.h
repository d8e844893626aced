// SPDX-License-Identifier: Apache-2.0
// Feedback: quantize block after block of input columns and let each block make good what the ones
// before it did wrong. With H = L D L^T (L unit block lower triangular) and E = W - What,
//     tr(E H E^T) = sum_k |(E L)_k|^2 in the metric D_k,   (E L)_k = E_k + sum_{j>k} E_j L_jk,
// so going backward from the last block and quantizing W_k + sum_{j>k} E_j L_jk makes every term as
// small as the code allows (LDLQ, QuIP 2307.13304). The same with columns reversed is the forward
// order, which for blocks of one column is GPTQ (2210.17323).
#pragma once

#include <functional>
#include <vector>

#include "base/matrix.h"

namespace vq {

enum class FeedbackOrder { none, forward, backward };

/// F(j, k): how the error of column j, quantized earlier, moves the target of column k. Unit block
/// triangular: lower for backward, upper for forward order.
struct BlockLDL {
    FeedbackOrder order = FeedbackOrder::backward;
    Index block = 1;
    Matrix factor;  ///< F, size (n, n), fp32 of an fp64 factorization
    std::vector<Matrix>
        metrics;  ///< D_k, size (block, block), divided by the mean of their diagonals
};

/// H (n, n) positive definite, n a multiple of block; worked on in place when it is moved in. Throws
/// Error when it is not positive definite.
BlockLDL factorize_block_ldl(MatrixD h, Index block, FeedbackOrder order);

/// No feedback: targets are W itself, metrics the diagonal blocks of H (divided likewise).
BlockLDL without_feedback(const MatrixD& h, Index block);

/// Quantizes `rows` rows of one block of columns: reads target (rows, block) and metric (block,
/// block), writes what (rows, block).
using EncodeBlock = std::function<void(Index row0, Index rows, Index col0, const float* target,
                                       const float* metric, float* what)>;

/// One pass over W (m, n). Rows do not interact, so panels of `panel` rows go through all columns
/// independently: the result does not depend on threads. For order none, targets are W itself.
/// `what` and `targets`, if not null, receive what the encoder made and what was handed to it, size
/// (m, n).
void feedback_pass(const Matrix& w, const BlockLDL& ldl, Index panel, const EncodeBlock& encode,
                   Matrix* what, Matrix* targets);

}  // namespace vq
