// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/store_totals.h"

#include <cmath>

#include "vq/tensor/stored_tensor.h"

namespace vq {

bool is_embedding(const StoredTensor& tensor) {
    return tensor.spec.contains("role") && tensor.spec["role"] == "embedding";
}

StoreTotals totals_of(const StoreReader& store) {
    double linear_weights = 0;
    double linear_bits = 0;  // shared codebooks' share included
    double embedding_weights = 0;
    double embedding_bits = 0;
    double dense_weights = 0;
    double dense_bits = 0;
    for (const std::string& name : store.names()) {
        const StoredTensor tensor = store.info(name);
        const auto weights = static_cast<double>(tensor.shape.rows * tensor.shape.cols);
        const double bits = tensor.bits_per_weight * weights;
        if (is_dense(tensor)) {
            dense_weights += weights;
            dense_bits += bits;
        } else if (is_embedding(tensor)) {
            embedding_weights += weights;
            embedding_bits += bits;
        } else {
            linear_weights += weights;
            linear_bits += bits;
        }
    }
    StoreTotals totals;
    if (linear_weights > 0) totals.bits_per_weight = linear_bits / linear_weights;
    if (embedding_weights > 0)
        totals.embedding_bits_per_weight = embedding_bits / embedding_weights;
    totals.quantized_weights = std::llround(linear_weights);
    totals.embedding_weights = std::llround(embedding_weights);
    totals.dense_weights = std::llround(dense_weights);
    totals.model_bytes = std::llround((linear_bits + embedding_bits + dense_bits) / 8);
    totals.file_bytes = store.file_bytes();
    return totals;
}

}  // namespace vq
