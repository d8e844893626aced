// SPDX-License-Identifier: Apache-2.0
// A quantized tensor as the store keeps it, and back: packed codes, codebooks, scales, transform.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/hdf5/store.h"
#include "vq/tensor/quantized_tensor.h"

namespace vq {

/// What a store holds of a quantized tensor before it has codes: see outline().
struct TensorForm {
    TensorShape shape;   ///< of W
    TensorShape padded;  ///< of what the codes make
    Along along = Along::inputs;
    ScaleLayout layout;  ///< the group's width is of use only where there are groups
    const std::vector<Segment>& segments;  ///< their codes are not read
    const Transform& transform;
    const SideTerms& side;
};

/// The only writer of a tensor's description. All arrays are there with types and shapes; codes and
/// scales have no bytes yet.
StoredTensor outline(const std::string& name, const TensorForm& form, const std::string& method);

/// The outline with its bytes. Everything of a quantized tensor but what shared
/// codebooks hold. bits_per_weight counts the arrays; the share of shared codebooks is added by the
/// caller, who knows who shares them.
StoredTensor store_tensor(const std::string& name, const QuantizedTensor& layer,
                          const std::string& method);

/// Whether all of W can be kept in 16 bits.
bool fits_half(const Matrix& w);

/// The outline of a tensor that is not quantized.
StoredTensor outline_dense(const std::string& name, TensorShape shape, bool half);

/// The same with its bytes: fp32, or `halved` to fp16 where that does not
/// overflow.
StoredTensor store_dense(const std::string& name, const Matrix& w, bool halved);

/// Keeps WeightSource::dims() in the description, where they are not rows and columns.
void keep_dims(StoredTensor& tensor, const std::vector<Index>& dims);

/// WeightSource::dims() of a tensor of a store.
std::vector<Index> stored_dims(const StoredTensor& stored);

/// Whether the tensor is not quantized; its attributes are enough.
bool is_dense(const StoredTensor& stored);

/// Codebooks that several tensors share, by name: those of a store's /codebooks.
using SharedArrays = std::map<std::string, Array>;

/// A tensor of a store as an object: what all readers work with. Its weights are
///     W = T^-1(decode(codes)) + side terms,   T the transform,
/// or `dense`, where it is not quantized; everything below is empty then.
struct ParsedTensor {
    std::string name;
    TensorShape shape;
    Matrix dense;              ///< size (rows, cols)
    ElementType dense_type{};  ///< that `dense` has in the store
    CodedTensor coded;         ///< padded
    Transform transform;       ///< of the unpadded columns and rows
    SideTerms side;

    bool is_dense() const { return coded.segments().empty(); }
};

/// The only reader of a tensor's description. Nothing of it is trusted: throws Error that names the
/// tensor when anything does not fit together, such as sizes, codes out of range, scales that are
/// not finite, a shared codebook that is missing.
ParsedTensor parse_stored(const StoredTensor& stored, const SharedArrays& shared);

/// The weights, size (rows, cols). Throws Error that names the tensor when one is not finite.
Matrix decode_parsed(ParsedTensor tensor);

/// Both in one.
Matrix decode_stored(const StoredTensor& stored, const SharedArrays& shared);

/// A code's parameters as the store keeps them: f16, size (codewords of all stages, d).
Array store_codebook(const Code& code);

}  // namespace vq
