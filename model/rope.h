// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding, half-split (HF) order: dimension i of a head is paired with i + d/2
// and the pair is rotated by position * frequency_i, frequency_i = theta^(-2i/d), scaled as the
// configuration asks (linear; llama3: long wavelengths divided by `factor`, short ones kept).
#pragma once

#include <vector>

#include "io/families/model_config.h"
#include "model/kernels.h"

namespace vq {

/// Cosines and sines for positions 0 .. positions - 1.
class RopeTable {
public:
    RopeTable(const RopeConfig& rope, Index positions);
    Index positions() const { return cosine_.rows(); }
    /// Rotates `heads` heads of head_dim values each, one after the other in x, in place.
    void rotate(float* x, Index heads, Index position, const Kernels& kernel) const;

private:
    Index head_dim_;
    Matrix cosine_;  ///< size (positions, head_dim / 2)
    Matrix sine_;
};

/// The head_dim / 2 frequencies, in fp32 as the models were trained with.
std::vector<float> rope_frequencies(const RopeConfig& rope);

}  // namespace vq
