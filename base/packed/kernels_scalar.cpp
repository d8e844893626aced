// SPDX-License-Identifier: Apache-2.0
// The reference: what every other table must compute, written to be read.
#include <algorithm>
#include <cmath>

#include "base/hadamard.h"
#include "base/packed/activation.h"
#include "base/packed/kernels.h"

namespace vq::decode {

namespace {

void panel(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
           Index stride) {
    for (Index t = 0; t < tokens; ++t)
        for (Index r = 0; r < panel_rows; ++r) {
            // Weights are bytes with an offset of 128.
            std::int32_t sum = -128 * x.sums[t];
            for (Index j = 0; j < 4 * quads; ++j) {
                const std::uint32_t quad = x.quads[t * (activation_group / 4) + j / 4];
                const auto q = static_cast<std::int8_t>(quad >> (8 * (j % 4)) & 0xFFu);
                sum += w.bytes[(j / 4 * panel_rows + r) * 4 + j % 4] * q;
            }
            y[t * stride + r] += w.row_scales[r] * x.scales[t] * static_cast<float>(sum);
        }
}

float round_weights(const float* v, std::uint8_t* bytes) {
    float most = 0;
    for (Index j = 0; j < activation_group; ++j) most = std::max(most, std::fabs(v[j]));
    const float inverse = most > 0 ? 127.0F / most : 0;
    for (Index j = 0; j < activation_group; ++j)
        bytes[j] = static_cast<std::uint8_t>(std::lrintf(v[j] * inverse) + 128);
    return most / 127.0F;
}

void flip_signs(const std::uint64_t* signs, const float* x, Index n, float* out) {
    for (Index i = 0; i < n; ++i) out[i] = (signs[i / 64] >> i % 64 & 1u) != 0 ? -x[i] : x[i];
}

float dot(const float* a, const float* b, Index n) {
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

float dot_half(const Half* a, const float* b, Index n) {
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += float_from_half(a[i]) * b[i];
    return sum;
}

float dot_bf16(const BFloat16* a, const float* b, Index n) {
    float sum = 0;
    for (Index i = 0; i < n; ++i) sum += float_from_bf16(a[i]) * b[i];
    return sum;
}

}  // namespace

const Kernels kernels_scalar = {"scalar",
                                KernelSet::scalar,
                                hadamard_block,
                                flip_signs,
                                quantize_activations,
                                panel,
                                round_weights,
                                dot,
                                dot_half,
                                dot_bf16};

}  // namespace vq::decode
