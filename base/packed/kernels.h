// SPDX-License-Identifier: Apache-2.0
// The inner loops that all codes share, one table an instruction set, picked when a file is opened;
// those of a code are its own (base/packed/packed_code.h). The scalar table is the reference: all
// others give the same bits, except the dot products of floats, whose sums run over 32 or 64 lanes.
#pragma once

#include "base/packed/activation.h"
#include "base/packed/panel.h"
#include "base/packed/segment.h"

namespace vq::decode {

/// The instruction sets that codes have kernels for: AVX2 with FMA and F16C; AVX-512 with VBMI and
/// VNNI.
enum class KernelSet { scalar, avx2, avx512vnni };
inline constexpr int kernel_sets = 3;

struct Kernels {
    const char* name;
    KernelSet set;  ///< of the codes' kernels that go with it
    /// hadamard_block() of base/hadamard.h, which it equals bit for bit.
    void (*hadamard)(float* x, Index n, bool transpose, float* scratch);
    /// out[i] = x[i], or -x[i] where bit i of `signs` is set; size (n). `out` may be `x`.
    void (*flip_signs)(const std::uint64_t* signs, const float* x, Index n, float* out);
    /// quantize_activations() (base/packed/activation.h).
    void (*quantize)(const float* x, Index n, const ByteBuffers& out);
    /// A panel of 64 rows of weights times `tokens` vectors, over up to 128 columns (4 a quad):
    ///     y[token * stride + r] += row_scales[r] x_scales[token] sum_j (w_rj - 128) x_j.
    /// weights: [quad][64 rows][4]; x: [token][32 quads] of int8; sums: of each token's x_j.
    void (*panel)(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
                  Index stride);
    /// activation_group weights of a row to bytes, round(v / scale) + 128, scale = max |v| / 127,
    /// which is returned.
    float (*round_weights)(const float* v, std::uint8_t* bytes);
    /// Sum of a[i] b[i].
    float (*dot)(const float* a, const float* b, Index n);
    float (*dot_half)(const Half* a, const float* b, Index n);
    float (*dot_bf16)(const BFloat16* a, const float* b, Index n);
};

extern const Kernels kernels_scalar;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512vnni;
/// kernels_avx512vnni with panels multiplied on tiles.
const Kernels& kernels_amx();

/// The best table of the processor, or the one that VQ_ISA asks for (avx512 means VBMI and VNNI
/// here; a processor without them gets avx2). Throws Error as active_isa().
const Kernels& active_kernels();

}  // namespace vq::decode
