// SPDX-License-Identifier: Apache-2.0
// The elementwise and reduction kernels of the runtime: softmax, losses, norms, activations. Each
// exists for every instruction set from one source (kernels_body.h); pick a table once per model
// with kernels(active_isa()). Tables may differ in the last bits: sums run over 1, 8 or 16 lanes.
#pragma once

#include <cstdint>

#include "base/cpu.h"
#include "base/half.h"
#include "base/matrix.h"

namespace vq {

enum class Activation : std::uint8_t;  // io/families/layer_config.h

/// Sums over one block of logits, relative to the given shifts: ref = sum exp(r - shift_r),
/// x = sum exp(x - shift_x), cross = sum exp(r - shift_r) (r - x).
struct KlSums {
    float ref = 0;
    float x = 0;
    float cross = 0;
};

/// All arrays hold n >= 1 elements without alignment; an output may be one of the inputs.
struct Kernels {
    /// Largest element.
    float (*max)(const float* x, Index n);
    /// sum exp(x - shift). Terms below 1e-38 count as 1e-38, and so may up to 15 that do not exist.
    float (*exp_sum)(const float* x, Index n, float shift);
    /// x = exp(x - shift) in place; returns the sum.
    float (*exp_in_place)(float* x, Index n, float shift);
    KlSums (*kl_sums)(const float* ref, const float* x, Index n, float shift_ref, float shift_x);
    /// out = act(gate) * up, by Activation; up may be null, then out = act(gate).
    using Activate = void (*)(const float* gate, const float* up, Index n, float* out);
    Activate activate[5];
    /// out = x / (1 + exp(-gate)).
    void (*sigmoid_mul)(const float* gate, const float* x, Index n, float* out);
    /// x = cap * tanh(x / cap) in place.
    void (*softcap)(float* x, Index n, float cap);
    /// out = x / sqrt(mean(x^2) + eps) * weight.
    void (*rms_norm)(const float* x, const float* weight, Index n, float eps, float* out);
    /// out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias; bias may be null.
    void (*layer_norm)(const float* x, const float* weight, const float* bias, Index n, float eps,
                       float* out);
    /// Rotates the pairs (x[i], x[i + half]) by the angles whose cosines and sines are given
    /// (half of each), in place.
    void (*rotate)(float* x, const float* cosine, const float* sine, Index half);
    /// Rounds to nearest even, as bf16_from_float.
    void (*to_bf16)(const float* x, Index n, BFloat16* out);
    /// A token of a delta rule (arXiv 2412.06464) on so many columns of its state S (keys,
    /// columns): S = decay S; S += write key (value - S^T key)^T; out = S^T query.
    void (*delta_step)(float* state, Index keys, Index columns, const float* key,
                       const float* query, const float* value, float decay, float write,
                       float* out);
};

/// The table of an instruction set, which the processor must have.
const Kernels& kernels(Isa isa);
/// How an MLP of this activation makes its inside.
Kernels::Activate activation_kernel(const Kernels& kernel, Activation activation);

/// Implementation detail: the tables.
extern const Kernels kernels_scalar;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;

}  // namespace vq
