// SPDX-License-Identifier: Apache-2.0
// Random orthonormal rotations of the rows of matrices, on all threads; the transform itself is
// base/hadamard.h.
#pragma once

#include <vector>

#include "base/hadamard.h"
#include "base/matrix.h"

namespace vq {

/// A random orthonormal rotation x -> H S x: signs S = diag(+-1) drawn from `seed`, then the
/// blockwise orthonormal Hadamard transform H. Costs n log n; holds the signs only.
class RandomHadamard {
public:
    RandomHadamard(Index n, std::uint64_t seed);
    Index size() const { return static_cast<Index>(signs_.size()); }
    /// x := H S x for each of `rows` rows of length size() (row stride `stride`), on all threads.
    void forward(float* x, Index rows, Index stride) const;
    void forward(double* x, Index rows, Index stride) const;
    /// x := S H^T x, the inverse.
    void inverse(float* x, Index rows, Index stride) const;

private:
    std::vector<float> signs_;
    std::vector<Index> blocks_;
};

/// The orthonormal Hadamard matrix of order p in {1, 12, 20, 28, 36} times sqrt(p): entries +-1.
Matrix small_hadamard(Index p);

}  // namespace vq
