// SPDX-License-Identifier: Apache-2.0
// One block of a transformer, in pieces, so that calibration can stop between them:
//   x = norm(stream);  q, k, v = W_qkv x;  a = attention(rope(q), rope(k), v);  stream += W_o a
//   x = norm(stream);  h = silu(W_gate x) * (W_up x);                           stream += W_down h
// All activations are fp32, row-major, one row a token. Every function below gives the same bits at
// any number of threads; inside parallel_for they run on the calling thread alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"
#include "io/families/linear_groups.h"
#include "io/families/model_config.h"
#include "model/kernels.h"
#include "model/linear.h"
#include "model/rope.h"
#include "model/scratch.h"

namespace vq {

/// Weights that take the place of the source's, by name.
using Replacements = std::map<std::string, Matrix>;

/// The weights (and biases) of tensors first .. first + count - 1 of a block's group as one
/// product; count 0 means all. They come from `replacements` where named there, else from the
/// source.
Linear load_group(const WeightSource& source, Index layer, GroupKind group, Precision precision,
                  const Replacements* replacements = nullptr, Index first = 0, Index count = 0);
/// The weights of a norm.
Vector load_norm(const WeightSource& source, const ModelTensor& norm);

/// Two products of one input.
struct MlpWeights {
    Linear gate;
    Linear up;
};
MlpWeights load_mlp(const WeightSource& source, Index layer, Precision precision,
                    const Replacements* replacements = nullptr);

/// What every block of a model shares.
struct BlockContext {
    ModelConfig config;
    RopeTable rope;
    const Kernels* kernel;
    BlockContext(const ModelConfig& model, Index positions);
};

/// Keys and values of one layer and one sequence, already rotated; rows are positions.
struct LayerCache {
    Matrix keys;    ///< size (capacity, kv_heads * head_dim)
    Matrix values;  ///< size (capacity, kv_heads * head_dim)
};

/// out (tokens, n) = rms_norm(x (tokens, n)); out may be x.
void norm_rows(const BlockContext& block, const float* x, Index tokens, const Vector& weight,
               float* out);

/// out (tokens, heads * head_dim): causal attention of one sequence whose stream is given, with the
/// heads of `layer`. The
/// tokens stand at positions past, past + 1, ...; with a cache, its first `past` rows are attended
/// to as well and the new keys and values are appended; without, past must be 0.
void attention(const BlockContext& block, const LayerConfig& layer, const Vector& norm,
               const Linear& qkv, const float* stream, Index tokens, Index past, LayerCache* cache,
               float* out, ScratchPool& scratch);

/// out (tokens, intermediate) = silu(W_gate x) * (W_up x), x = norm(stream).
void mlp_hidden(const BlockContext& block, const Vector& norm, const MlpWeights& mlp,
                const float* stream, Index tokens, float* out, ScratchPool& scratch);

/// stream (tokens, hidden) += W x, x (tokens, W's input).
void add_product(const Linear& w, const float* x, Index tokens, float* stream,
                 ScratchPool& scratch);

/// A whole block, resident.
struct Block {
    LayerConfig config;
    Vector attention_norm;
    Vector mlp_norm;
    Linear qkv;
    Linear attention_out;
    MlpWeights mlp;
    Linear down;

    Block(const WeightSource& source, Index layer, Precision precision);
    /// The stream of one sequence through the block, in place.
    void forward(const BlockContext& block, float* stream, Index tokens, Index past,
                 LayerCache* cache, ScratchPool& scratch) const;
};

}  // namespace vq
