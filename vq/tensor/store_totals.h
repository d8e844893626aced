// SPDX-License-Identifier: Apache-2.0
// What a whole store amounts to: sums over its tensors' attributes.
#pragma once

#include <cstdint>
#include <string>

#include "io/hdf5/store.h"

namespace vq {

struct StoreTotals {
    double bits_per_weight = 0;          ///< of the coded linear layers, every stored bit counted
    std::int64_t quantized_weights = 0;  ///< of the same
    double embedding_bits_per_weight = 0;
    std::int64_t embedding_weights = 0;  ///< of the embedding and the head, where they are coded
    std::int64_t dense_weights = 0;
    std::int64_t model_bytes = 0;  ///< of all tensors
    std::int64_t file_bytes = 0;   ///< model, configuration, tokenizer, HDF5's own
};

StoreTotals totals_of(const StoreReader& store);

/// True for the embedding and the head, where they are coded.
bool is_embedding(const StoredTensor& tensor);

}  // namespace vq
