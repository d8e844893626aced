// SPDX-License-Identifier: Apache-2.0
// The Viterbi search over a bitshift trellis of 2^16 states with 16-bit path metrics: what its
// kernels, one an instruction set, share. All kernels do the same integer arithmetic and agree bit
// for bit.
//
// Time runs over the steps of a sequence x_0 .. x_{T-1}; K bits enter the state a step:
//     s_t = (s_{t-1} << K | b_t) mod 2^16,     cost_t = (x_t - value(s_t))^2.
// The 2^K predecessors of s_t differ in their highest K bits only, so that they and their 2^K
// successors form a group g = s_t >> K, and one minimum serves all the successors of a group:
//     m[g] = min_h M[h << (16 - K) | g],    M'[g << K | b] = m[g] + cost(g << K | b).
// Units: x and values are fixed point with `viterbi_unit` a standard deviation; a difference of 4
// or more saturates. A metric of 1 is 2^-11 variances; sums saturate at 2^16 - 1 and the least
// metric of each step is taken away in the next one.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace vq {

constexpr int trellis_state_bits = 16;  ///< L
constexpr int trellis_states = 1 << trellis_state_bits;
constexpr int viterbi_unit = 8192;

/// Memory for sequences of up to `steps` steps; see ViterbiWorkspace in viterbi.h.
struct ViterbiBuffers {
    std::uint16_t* metric[2];  ///< size (2^16) each, aligned to 64 bytes
    std::uint32_t* decisions;  ///< size (steps, K, 2^(16-K) / 32): bit planes of h, low bit first
};

/// One search. x: size (steps), fixed point. values: size (2^16), fixed point, aligned to 64 bytes.
/// overlap: the low 16 - K bits that the state before step 0 and the state after the last step must
/// share (a tail-biting sequence), or -1: start anywhere, end anywhere. states: size (steps), out.
using ViterbiSearch = void (*)(const std::int16_t* x, int steps, const std::int16_t* values,
                               int overlap, const ViterbiBuffers& buffers, std::uint16_t* states);

/// [K - 1], K = 1..4.
struct ViterbiKernel {
    ViterbiSearch search[4];
};

extern const ViterbiKernel viterbi_kernel_scalar;
extern const ViterbiKernel viterbi_kernel_avx2;
extern const ViterbiKernel viterbi_kernel_avx512;

}  // namespace vq
