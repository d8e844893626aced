// SPDX-License-Identifier: Apache-2.0
#include "decode/rotation.h"

#include <algorithm>

#include "base/hadamard.h"
#include "base/rng.h"

namespace vq::decode {

namespace {

/// The blockwise Hadamard transform, or its inverse.
void hadamard(const Kernels& kernels, float* x, Index n, bool inverse, float* scratch) {
    for (Index at = 0; at < n;) {
        const Index length = next_hadamard_block(n - at);
        kernels.hadamard(x + at, length, inverse, scratch);
        at += length;
    }
}

}  // namespace

std::vector<std::uint64_t> sign_bits(std::uint64_t seed, Index n) {
    std::vector<std::uint64_t> bits(static_cast<std::size_t>((n + 63) / 64), 0);
    for (Index i = 0; i < n; ++i)
        if (random_sign(seed, static_cast<std::uint64_t>(i)) < 0)
            bits[static_cast<std::size_t>(i / 64)] |= std::uint64_t{1} << i % 64;
    return bits;
}

void transform_inputs(const Kernels& kernels, const Tensor& t, const float* x, float* out,
                      float* scratch) {
    if (t.column_scale != nullptr) {
        for (Index c = 0; c < t.cols; ++c) scratch[c] = x[c] / float_from_half(t.column_scale[c]);
        x = scratch;
    }
    if (t.permutation != nullptr) {
        for (Index c = 0; c < t.cols; ++c) out[c] = x[t.permutation[c]];
        x = out;
    }
    if (t.rotated_in) {
        kernels.flip_signs(t.signs_in, x, t.cols, out);
        hadamard(kernels, out, t.cols, false, scratch);
    } else if (x != out) {
        std::copy_n(x, t.cols, out);
    }
    std::fill(out + t.cols, out + t.padded_cols, 0.0F);
}

void restore_row(const Kernels& kernels, const Tensor& t, float* w, float* scratch) {
    if (t.rotated_in) {
        hadamard(kernels, w, t.cols, true, scratch);
        kernels.flip_signs(t.signs_in, w, t.cols, w);
    }
    if (t.permutation != nullptr) {
        std::copy_n(w, t.cols, scratch);
        for (Index c = 0; c < t.cols; ++c) w[t.permutation[c]] = scratch[c];
    }
    if (t.column_scale != nullptr)
        for (Index c = 0; c < t.cols; ++c) w[c] /= float_from_half(t.column_scale[c]);
}

void transform_outputs(const Kernels& kernels, const Tensor& t, float* y, float* out,
                       float* scratch) {
    if (!t.rotated_out) {
        if (out != y) std::copy_n(y, t.rows, out);
        return;
    }
    hadamard(kernels, y, t.rows, true, scratch);
    kernels.flip_signs(t.signs_out, y, t.rows, out);
}

void rotate_outputs(const Kernels& kernels, const Tensor& t, float* y, float* scratch) {
    if (!t.rotated_out) return;
    kernels.flip_signs(t.signs_out, y, t.rows, y);
    hadamard(kernels, y, t.rows, false, scratch);
}

}  // namespace vq::decode
