// SPDX-License-Identifier: Apache-2.0
// The fast Hadamard transform of any length, free of other libraries: what vq/ (rows of matrices)
// and decode/ (activations) share. n = p * 2^a with p in {1, 12, 20, 28, 36} is one Kronecker
// product H_p (x) H_{2^a}; other lengths are cut into blocks of such lengths, largest first (17 =
// 16 + 1). H_12 and H_20 are Paley's first construction (q = 11, 19), H_28 and H_36 his second (q =
// 13, 17): R. Paley, On orthogonal matrices, 1933.
#pragma once

#include <cstdint>
#include <vector>

namespace vq {

/// The block lengths into which a vector of length n >= 1 is cut; one when n itself factorises.
std::vector<std::int64_t> hadamard_blocks(std::int64_t n);

/// Length of the next block for a vector of which n >= 1 values are left: hadamard_blocks() without
/// the list.
std::int64_t next_hadamard_block(std::int64_t n);

/// p of a block length n = p * 2^a, the smallest there is; 0 when there is none.
int hadamard_order(std::int64_t n);

/// Entry (i, j) of the Hadamard matrix of order p in {1, 12, 20, 28, 36} is +1 (else -1).
bool hadamard_plus(int p, int i, int j);

/// One block of length n (of hadamard_blocks) in place: the orthonormal Hadamard transform, or its
/// transpose, which is its inverse. `scratch` holds n values; unused when n is a power of two.
void hadamard_block(float* x, std::int64_t n, bool transpose, float* scratch);
void hadamard_block(double* x, std::int64_t n, bool transpose, double* scratch);

}  // namespace vq
