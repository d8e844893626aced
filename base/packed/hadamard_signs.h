// SPDX-License-Identifier: Apache-2.0
// The small Hadamard matrices of base/hadamard.h as factors, for kernels.
#pragma once

namespace vq::decode {

/// [j][i]: entry (i, j) of the Hadamard matrix of order p in {12, 20, 28, 36}, or of its transpose,
/// as 1 or -1; null for p = 1.
const float* hadamard_signs(int p, bool transpose);

}  // namespace vq::decode
