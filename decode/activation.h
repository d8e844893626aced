// What happens to activations around a product: the tensor's transform, undone on inputs and
// outputs instead of on weights, and rounding to int8.
//     W' = U W D P^T R^T  stored,   y = W x = U^T W' (R P D^-1 x).
#pragma once

#include "decode/kernels.h"
#include "decode/packed_file.h"

namespace vq::decode {

/// out = R P D^-1 x, padded with zeros to padded_cols. `scratch`: cols values.
void transform_inputs(const Tensor& t, const float* x, float* out, float* scratch);
/// y := R P D^-1 undone for a row of weights: w (cols) becomes the row of W. `scratch`: cols.
void restore_row(const Tensor& t, float* w, float* scratch);
/// y := U^T y, y of size (rows). `scratch`: rows values.
void transform_outputs(const Tensor& t, float* y, float* scratch);
/// y := U y.
void rotate_outputs(const Tensor& t, float* y, float* scratch);

struct ByteBuffers {
    std::uint32_t* pairs;
    std::int8_t* bytes;
    float* scales;
    std::int32_t* sums;
};
/// x (n) to int8, rounded to nearest with scale max|x| / 127 a group: an error of at most 1/254 of
/// the group's largest value, evenly spread.
void quantize_activations(const float* x, Index n, const ByteBuffers& out);
/// The same for a code table of vectors along inputs: bytes as [vector of `dim`][8], a scale for
/// table_block vectors, no pairs.
void quantize_vectors(const float* x, Index vectors, int dim, const ByteBuffers& out);

}  // namespace vq::decode
