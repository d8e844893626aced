// Activations rounded to int8, as the integer kernels read them.
#pragma once

#include "decode/kernels.h"

namespace vq::decode {

/// x (n) to int8, rounded to nearest with scale max|x| / 127 a group: an error of at most 1/254 of
/// the group's largest value, evenly spread. The reference of Kernels::quantize.
void quantize_activations(const float* x, Index n, const ByteBuffers& out);
/// The same for a code table of vectors along inputs: bytes as [vector of `dim`][8], a scale for
/// table_block vectors, no pairs.
void quantize_vectors(const float* x, Index vectors, int dim, const ByteBuffers& out);

}  // namespace vq::decode
