// SPDX-License-Identifier: Apache-2.0
#include "decode/decode_rows.h"

#include <algorithm>
#include <cstring>

#include "base/packed/packed_code.h"

namespace vq::decode {

void decode_block(const Segment& s, Index row, Index rows, Index col, Index cols, float* out,
                  Index stride) {
    if (s.code->block != nullptr) {
        s.code->block(s, row, rows, col, cols, out, stride);
        return;
    }
    const Index width = s.width;
    // Vectors that the range cuts in two are decoded apart.
    const Index head = std::min(cols, (width - col % width) % width);
    const Index whole = (cols - head) / width;
    const Index tail = cols - head - whole * width;
    for (Index r = row; r < row + rows; ++r, out += stride) {
        float vector[most_dim];
        if (head > 0) {
            s.code->values(s, r, col / width, 1, vector);
            std::copy_n(vector + col % width, head, out);
        }
        s.code->values(s, r, (col + head) / width, whole, out + head);
        if (tail > 0) {
            s.code->values(s, r, (col + head) / width + whole, 1, vector);
            std::copy_n(vector, tail, out + head + whole * width);
        }
    }
}

void apply_scales(const Tensor& t, Index row, Index col, Index count, float* values) {
    if (t.scale_kind != ScaleKind::group) {
        const float scale = t.scale(row);
        for (Index i = 0; i < count; ++i) values[i] *= scale;
        return;
    }
    const Half* scales = t.scales + row * ceil_div(t.padded_cols, t.scale_group);
    for (Index i = 0; i < count;) {
        const Index group = (col + i) / t.scale_group;
        const Index end = std::min(count, (group + 1) * t.scale_group - col);
        const float scale = float_from_half(scales[group]);
        for (; i < end; ++i) values[i] *= scale;
    }
}

void decode_coded_row(const Tensor& t, Index row, float* out) {
    for (const Segment* s : t.segments)
        s->code->values(*s, row, 0, s->cols / s->width, out + s->col0);
    apply_scales(t, row, 0, t.padded_cols, out);
}

void decode_dense_row(const Tensor& t, Index row, float* out) {
    if (t.kind == TensorKind::dense_f32)
        std::memcpy(out, t.dense + row * t.cols * 4, static_cast<std::size_t>(t.cols) * 4);
    else if (t.kind == TensorKind::dense_f16)
        float_from_half(reinterpret_cast<const Half*>(t.dense) + row * t.cols, t.cols, out);
    else
        float_from_bf16(reinterpret_cast<const BFloat16*>(t.dense) + row * t.cols, t.cols, out);
}

}  // namespace vq::decode
