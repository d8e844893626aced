// SPDX-License-Identifier: Apache-2.0
// Viterbi: the best tail-biting path of a bitshift trellis for a sequence of weights. The search is
// exact for a given overlap (the state bits that the end shares with the start); the overlap itself
// comes from a first search over the `tail` steps on both sides of the seam, which are what it
// depends on (QTIP 2406.11235, algorithm 4, with a window instead of the whole sequence).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lattice/trellis/viterbi_kernel.h"

namespace vq {

/// Cache-aligned 16-bit values.
struct alignas(64) TrellisLine {
    std::uint16_t lane[32];
};

/// Memory of one thread's searches; grows as needed.
class ViterbiWorkspace {
public:
    ViterbiBuffers buffers(int steps, int bits);

private:
    std::vector<TrellisLine> metrics_;
    std::vector<std::uint32_t> decisions_;
};

class Viterbi {
public:
    /// values: size (2^16), f of every state. bits: K, 1..4. Values must lie within +-3.9 (an
    /// InternalError otherwise): see viterbi_unit.
    Viterbi(const std::vector<float>& values, int bits, Isa isa = active_isa());

    int bits() const { return bits_; }

    /// The states of a tail-biting path for x, size (steps); steps * K >= 16. x may be anything
    /// finite; beyond the largest value it is clamped. `tail` steps on each side of the seam choose
    /// the overlap.
    void encode(const float* x, int steps, int tail, ViterbiWorkspace& workspace,
                std::uint16_t* states) const;
    /// The same under a given overlap, the low 16 - K bits of the state before step 0.
    void encode_with_overlap(const float* x, int steps, int overlap, ViterbiWorkspace& workspace,
                             std::uint16_t* states) const;
    /// The best path without the tail-biting constraint.
    void encode_open(const float* x, int steps, ViterbiWorkspace& workspace,
                     std::uint16_t* states) const;

private:
    std::int16_t fixed(float x) const;
    void search(const std::vector<std::int16_t>& x, int overlap, ViterbiWorkspace& workspace,
                std::uint16_t* states) const;

    int bits_;
    ViterbiSearch search_;
    std::vector<TrellisLine> values_;  ///< fixed point
    float limit_;                      ///< x is clamped to +-limit_
};

}  // namespace vq
