// Fast orthonormal Hadamard transforms of any length. n = p * 2^a with p in {1, 12, 20, 28, 36} is
// one Kronecker product H_p (x) H_{2^a}; other lengths are cut into blocks of such lengths, largest
// first (for example 17 = 16 + 1). H_12 and H_20 are Paley's first construction (q = 11, 19), H_28
// and H_36 his second (q = 13, 17): R. Paley, On orthogonal matrices, 1933.
#pragma once

#include <vector>

#include "base/matrix.h"

namespace vq {

/// The block lengths into which a vector of length n is cut; one entry when n itself factorises.
std::vector<Index> hadamard_blocks(Index n);

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
const Matrix& small_hadamard(Index p);

}  // namespace vq
