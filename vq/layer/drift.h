// SPDX-License-Identifier: Apache-2.0
// Drift: how far the quantized layers before a linear layer have moved what it reads, and the
// weights that make good for it. The original model feeds the layer x and adds W x to a residual
// stream r; the quantized one feeds it x~ and has r~. The layer that brings the stream back, in the
// sense of least squares over the calibration text, is
//     W' = argmin sum |r + W x - (r~ + W' x~)|^2 = W + (W D + S) (sum x~ x~^T)^-1,
//     D = sum (x - x~) x~^T,   S = sum (r - r~) x~^T   (0 for layers that do not add to the
//     stream),
// so that quantizing W' instead of W aims at the original model's output on the quantized model's
// inputs (asymmetric calibration; errors of earlier layers are not only weighed but taken back).
#pragma once

#include "base/matrix.h"
#include "vq/layer/hessian_factors.h"

namespace vq {

struct DriftSum {
    MatrixD input;   ///< D, size (n, n)
    MatrixD stream;  ///< S, size (m, n), or (0, 0)

    /// Adds `tokens` inputs of width n, before (x) and after (xq), and the streams of width m that
    /// go with them; r and rq may be null. The same bits at any number of threads.
    void add(const float* x, const float* xq, Index n, const float* r, const float* rq, Index m,
             Index tokens);
    bool empty() const { return input.size() == 0; }
};

/// W' for W (m, n), with `strength` (0..1) of the correction. H is regularised as for quantization
/// (prepare_hessian), so that directions that the text hardly shows stay as they are. Throws Error
/// with `name` when the result is not finite.
Matrix corrected_weights(const Matrix& w, HessianFactors& inputs, const DriftSum& drift,
                         double damping, double strength, const std::string& name);

}  // namespace vq
