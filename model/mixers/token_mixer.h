// SPDX-License-Identifier: Apache-2.0
// TokenMixer: the half of a block in which tokens see each other. It reads the normed stream x and
// ends with one linear layer W_last, which belongs to the block:
//   stream += W_last mix(x)
// All activations are fp32, row-major, one row a token. Results are the same bits at any number of
// threads; inside parallel_for everything runs on the calling thread alone.
#pragma once

#include <cstdint>

#include "io/families/linear_groups.h"
#include "model/ops/scratch.h"

namespace vq {

/// What a mixer keeps of one sequence between calls: keys and values, or a recurrent state.
class MixerState {
public:
    MixerState() = default;
    MixerState(const MixerState&) = delete;
    MixerState& operator=(const MixerState&) = delete;
    virtual ~MixerState() = default;
};

class TokenMixer {
public:
    TokenMixer() = default;
    TokenMixer(const TokenMixer&) = delete;
    TokenMixer& operator=(const TokenMixer&) = delete;
    virtual ~TokenMixer() = default;

    /// out (tokens, W_last's inputs): what W_last reads of the tokens of one sequence, whose normed
    /// stream is x (tokens, hidden). They stand at positions past, past + 1, ...; with a state, it
    /// holds what the `past` tokens before them left and takes up the new ones; without, past is 0.
    virtual void mix(const float* x, Index tokens, Index past, MixerState* state, float* out,
                     ScratchPool& scratch) const = 0;
    /// out (tokens, the group's columns): what a group between the first and W_last reads. Mixers
    /// without such groups are never asked.
    virtual void inputs(GroupKind group, const float* x, Index tokens, float* out,
                        ScratchPool& scratch) const;
    /// Bytes of weights, W_last's left out, that a token reads.
    virtual std::int64_t weight_bytes() const = 0;
};

}  // namespace vq
