// SPDX-License-Identifier: Apache-2.0
// What the kernels of Assigner share: the blocked codebook that they read and the table of entry
// points, one table an instruction set.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace vq {

/// A codebook in blocks of 32 codewords, dimension-major inside a block. A block is d + 2 rows of
/// 32 floats: |c|^2 / 2, then the d coordinates, then 0. Lanes past the last codeword hold
/// coordinates of 0 and +infinity in the first and last row: their score is never below anything.
/// The first row starts the sum of a plain score, the last one that of a weighted score.
struct BlockedCodebook {
    const float* rows;  ///< size (blocks, d + 2, 32), aligned to 64 bytes
    std::int64_t k;
    std::int64_t d;
    std::int64_t blocks;
};

/// x: size (n, d). w: size (n, d), or null for plain L2. Codes as in Assigner.
struct AssignerKernel {
    void (*nearest)(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
                    std::uint32_t* codes);
    void (*nearest_t)(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
                      int t, std::uint32_t* codes);
};

extern const AssignerKernel assigner_kernel_scalar;
extern const AssignerKernel assigner_kernel_avx2;
extern const AssignerKernel assigner_kernel_avx512;

}  // namespace vq
