// SPDX-License-Identifier: Apache-2.0
#include "lattice/trellis/viterbi.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace vq {

namespace {

/// Room above the largest value in which an x still tells neighbouring values apart.
constexpr float headroom = 0.5F;
/// Differences saturate at 4 (viterbi_kernel.h).
constexpr float largest_value = 3.9F;

const ViterbiKernel& kernel_of(Isa isa) {
    switch (isa) {
        case Isa::amx:
        case Isa::avx512: return viterbi_kernel_avx512;
        case Isa::avx2: return viterbi_kernel_avx2;
        default: return viterbi_kernel_scalar;
    }
}

}  // namespace

ViterbiBuffers ViterbiWorkspace::buffers(int steps, int bits) {
    constexpr std::size_t lines = trellis_states / 32;
    metrics_.resize(2 * lines);
    const auto needed = static_cast<std::size_t>(steps) * static_cast<std::size_t>(bits) *
                        static_cast<std::size_t>((trellis_states >> bits) / 32);
    if (decisions_.size() < needed) decisions_.resize(needed);
    return {{metrics_.front().lane, metrics_[lines].lane}, decisions_.data()};
}

Viterbi::Viterbi(const std::vector<float>& values, int bits, Isa isa)
    : bits_(bits),
      search_(kernel_of(isa).search[bits - 1]),
      values_(trellis_states / 32),
      limit_(0) {
    VQ_ASSERT(bits >= 1 && bits <= 4 && values.size() == trellis_states);
    for (const float v : values) limit_ = std::max(limit_, std::abs(v));
    VQ_ASSERT(limit_ > 0 && limit_ <= largest_value);
    // Fixed point has 16 bits, and 4 is one step too many for them.
    limit_ = std::min(limit_ + headroom, 3.99F);
    for (std::size_t s = 0; s < values.size(); ++s)
        values_[s / 32].lane[s % 32] = static_cast<std::uint16_t>(fixed(values[s]));
}

std::int16_t Viterbi::fixed(float x) const {
    return static_cast<std::int16_t>(std::lrint(std::clamp(x, -limit_, limit_) * viterbi_unit));
}

void Viterbi::search(const std::vector<std::int16_t>& x, int overlap, ViterbiWorkspace& workspace,
                     std::uint16_t* states) const {
    const int steps = static_cast<int>(x.size());
    search_(x.data(), steps, reinterpret_cast<const std::int16_t*>(values_.data()), overlap,
            workspace.buffers(steps, bits_), states);
}

void Viterbi::encode(const float* x, int steps, int tail, ViterbiWorkspace& workspace,
                     std::uint16_t* states) const {
    VQ_ASSERT(steps * bits_ >= trellis_state_bits && tail >= 1);
    const int side = std::min(tail, steps / 2);
    std::vector<std::int16_t> seam(static_cast<std::size_t>(2 * side));
    // The end of the sequence, then its start: a path through both is free of the constraint and
    // closes as well as it can.
    for (int i = 0; i < side; ++i) {
        seam.data()[i] = fixed(x[steps - side + i]);
        seam.data()[side + i] = fixed(x[i]);
    }
    std::vector<std::uint16_t> path(seam.size());
    search(seam, -1, workspace, path.data());
    encode_with_overlap(x, steps, path.data()[side] >> bits_, workspace, states);
}

void Viterbi::encode_with_overlap(const float* x, int steps, int overlap,
                                  ViterbiWorkspace& workspace, std::uint16_t* states) const {
    VQ_ASSERT(overlap >= 0 && overlap < trellis_states >> bits_);
    std::vector<std::int16_t> sequence(static_cast<std::size_t>(steps));
    for (int i = 0; i < steps; ++i) sequence.data()[i] = fixed(x[i]);
    search(sequence, overlap, workspace, states);
}

void Viterbi::encode_open(const float* x, int steps, ViterbiWorkspace& workspace,
                          std::uint16_t* states) const {
    std::vector<std::int16_t> sequence(static_cast<std::size_t>(steps));
    for (int i = 0; i < steps; ++i) sequence.data()[i] = fixed(x[i]);
    search(sequence, -1, workspace, states);
}

}  // namespace vq
