// SPDX-License-Identifier: Apache-2.0
// A quantized tensor as the store keeps it, and back: packed codes, codebooks, scales, transform.
// Also the exact count of bits, before (plan) and after (the bytes of the arrays).
#pragma once

#include <functional>
#include <string>

#include "io/hdf5/store.h"
#include "vq/layer/quantize_layer.h"

namespace vq {

/// Everything of a quantized tensor but what shared codebooks hold. bits_per_weight counts the
/// arrays; the share of shared codebooks is added by the caller, who knows who shares them.
StoredTensor store_tensor(const std::string& name, const QuantizedLayer& layer,
                          const std::string& method);

/// Finds a shared codebook (array "codebooks" of a store's /codebooks) by name.
using SharedLookup = std::function<const Array&(const std::string& name)>;

/// The tensor's weights, size (rows, cols). Throws Error when anything in it does not fit together:
/// sizes, code ranges, scales that are not finite.
Matrix decode_stored(const StoredTensor& stored, const SharedLookup& shared);

/// A code's parameters as the store keeps them: f16, size (codewords of all stages, d).
Array store_codebook(const Code& code);

/// Bits that one tensor of `shape` will take on disk: codes, scales, transform data, and its own
/// codebooks if `own_codebooks`.
double planned_bits(TensorShape shape, const Settings& settings, bool own_codebooks);

}  // namespace vq
