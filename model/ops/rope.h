// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: pair i of a head is rotated by position * frequency_i, frequency_i =
// theta^(-2i/d), scaled as the configuration asks. A pair is dimensions i and i + d/2 (the order of
// HF's checkpoints) or neighbours.
#pragma once

#include <vector>

#include "io/families/layer_config.h"
#include "model/ops/kernels.h"

namespace vq {

/// Cosines and sines for positions 0 .. positions - 1.
class RopeTable {
public:
    RopeTable(const RopeConfig& rope, Index positions);
    Index positions() const { return cosine_.rows(); }
    /// Rotates `heads` heads, each `stride` values behind the one before, in place. Dimensions of a
    /// head behind those that turn stay as they are.
    void rotate(float* x, Index heads, Index stride, Index position, const Kernels& kernel) const;

private:
    bool interleaved_;
    Matrix cosine_;  ///< size (positions, pairs)
    Matrix sine_;
};

/// The frequencies of all pairs, in fp32 as the models were trained with, for sequences of at most
/// `positions` tokens: two ways of scaling look at the length.
std::vector<float> rope_frequencies(const RopeConfig& rope, Index positions);

}  // namespace vq
