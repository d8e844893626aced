#include "decode/activation.h"

#include <algorithm>
#include <cmath>

#include "base/hadamard.h"
#include "base/rng.h"
#include "decode/lut.h"
#include "decode/table.h"

namespace vq::decode {

namespace {

void flip_signs(std::uint64_t seed, float* x, Index n) {
    for (Index i = 0; i < n; ++i) x[i] *= random_sign(seed, static_cast<std::uint64_t>(i));
}

/// The blockwise Hadamard transform, or its inverse.
void hadamard(float* x, Index n, bool inverse, float* scratch) {
    for (Index at = 0; at < n;) {
        const Index length = next_hadamard_block(n - at);
        hadamard_block(x + at, length, inverse, scratch);
        at += length;
    }
}

}  // namespace

void transform_inputs(const Tensor& t, const float* x, float* out, float* scratch) {
    if (t.column_scale != nullptr) {
        for (Index c = 0; c < t.cols; ++c) scratch[c] = x[c] / float_from_half(t.column_scale[c]);
        x = scratch;
    }
    if (t.permutation != nullptr)
        for (Index c = 0; c < t.cols; ++c) out[c] = x[t.permutation[c]];
    else
        std::copy_n(x, t.cols, out);
    if (t.rotated_in) {
        flip_signs(t.seed_in, out, t.cols);
        hadamard(out, t.cols, false, scratch);
    }
    std::fill(out + t.cols, out + t.padded_cols, 0.0F);
}

void restore_row(const Tensor& t, float* w, float* scratch) {
    if (t.rotated_in) {
        hadamard(w, t.cols, true, scratch);
        flip_signs(t.seed_in, w, t.cols);
    }
    if (t.permutation != nullptr) {
        std::copy_n(w, t.cols, scratch);
        for (Index c = 0; c < t.cols; ++c) w[t.permutation[c]] = scratch[c];
    }
    if (t.column_scale != nullptr)
        for (Index c = 0; c < t.cols; ++c) w[c] /= float_from_half(t.column_scale[c]);
}

void transform_outputs(const Tensor& t, float* y, float* scratch) {
    if (!t.rotated_out) return;
    hadamard(y, t.rows, true, scratch);
    flip_signs(t.seed_out, y, t.rows);
}

void rotate_outputs(const Tensor& t, float* y, float* scratch) {
    if (!t.rotated_out) return;
    flip_signs(t.seed_out, y, t.rows);
    hadamard(y, t.rows, false, scratch);
}

void quantize_activations(const float* x, Index n, const ByteBuffers& out) {
    std::fill(out.bytes + n, out.bytes + (n + byte_padding - 1) / byte_padding * byte_padding,
              std::int8_t{0});
    for (Index begin = 0, g = 0; begin < n; begin += activation_group, ++g) {
        const Index end = std::min(n, begin + activation_group);
        float most = 0;
        for (Index i = begin; i < end; ++i) most = std::max(most, std::fabs(x[i]));
        const float inverse = most > 0 ? 127.0F / most : 0;
        std::int32_t sum = 0;
        for (Index i = begin; i < end; i += 2) {
            const std::int32_t q0 = round_to_int(x[i] * inverse);
            const std::int32_t q1 = i + 1 < end ? round_to_int(x[i + 1] * inverse) : 0;
            sum += q0 + q1;
            out.pairs[i / 2] = (static_cast<std::uint32_t>(q0) & 0xFFu) * 0x0101u |
                               (static_cast<std::uint32_t>(q1) & 0xFFu) * 0x01010000u;
            out.bytes[i] = static_cast<std::int8_t>(q0);
            out.bytes[i + 1] = static_cast<std::int8_t>(q1);
        }
        out.scales[g] = most / 127.0F;
        out.sums[g] = sum;
    }
}

void quantize_vectors(const float* x, Index vectors, int dim, const ByteBuffers& out) {
    std::fill_n(out.bytes, ceil_div(vectors, table_block) * table_block * table_most_dim,
                std::int8_t{0});
    for (Index begin = 0, g = 0; begin < vectors; begin += table_block, ++g) {
        const Index end = std::min(vectors, begin + table_block);
        float most = 0;
        for (Index i = begin * dim; i < end * dim; ++i) most = std::max(most, std::fabs(x[i]));
        const float inverse = most > 0 ? 127.0F / most : 0;
        std::int32_t sum = 0;
        for (Index v = begin; v < end; ++v)
            for (int k = 0; k < dim; ++k) {
                const std::int32_t q = round_to_int(x[v * dim + k] * inverse);
                out.bytes[v * table_most_dim + k] = static_cast<std::int8_t>(q);
                sum += q;
            }
        out.scales[g] = most / 127.0F;
        out.sums[g] = sum;
    }
}

}  // namespace vq::decode
