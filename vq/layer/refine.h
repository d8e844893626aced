// SPDX-License-Identifier: Apache-2.0
// Refiner: makes a quantized tensor better without a new feedback pass. A round
//   1. solves the scales in closed form under the full-H loss, codes fixed;
//   2. solves the codebooks under the same loss (a linear least-squares problem, since What is
//      linear in the codewords) by conjugate gradients that never build the normal matrix;
//   3. goes through the codes once more by coordinate descent: with G = (W - What) H, the best
//      change of block k alone is G_k H_kk^-1; the block is encoded again at What_k + G_k H_kk^-1
//      and the new code is kept where it lowers the loss (AQLM 2401.06118 (b), QuIP# 2402.04396
//      sweeps).
// Every step is taken back if the loss, measured anew, is not lower. What is decoded from the codes
// panel by panel wherever it is needed: beside W and H there is never more than a second set of
// codes, and in step 2 half a W.
#pragma once

#include "base/matrix.h"
#include "base/progress.h"
#include "vq/tensor/coded_tensor.h"

namespace vq {

struct RefineSettings {
    int rounds = 0;         ///< 0: off
    bool scales = true;     ///< step 1
    bool codebooks = true;  ///< step 2, for codebooks that belong to the tensor alone
    bool codes = true;      ///< step 3
    int cg_iterations = 30;
    double tolerance = 1e-3;  ///< stop when a round lowers the loss by less than this share
};

struct RefineReport {
    double before = 0;  ///< tr(E H E^T)
    double after = 0;
    int rounds = 0;
};

/// W (m, n), H (n, n) positive definite, both padded and transformed like `tensor`. Throws Cancelled
/// when the user asked to stop.
RefineReport refine(const Matrix& w, const Matrix& h, const RefineSettings& settings,
                    const Progress& progress, CodedTensor& tensor);

/// tr(E H E^T) for E = W - tensor.decode().
double tensor_loss(const Matrix& w, const Matrix& h, const CodedTensor& tensor);

}  // namespace vq
