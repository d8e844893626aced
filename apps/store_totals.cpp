// SPDX-License-Identifier: Apache-2.0
#include "apps/store_totals.h"

#include <cmath>

#include "vq/tensor/stored_model.h"
#include "vq/tensor/stored_tensor.h"

namespace vq::apps {

StoreTotals totals_of(const StoreReader& store) {
    const StoreSize size = store_size(store);
    StoreTotals totals;
    totals.bits_per_weight = size.bits_per_weight;
    totals.quantized_weights = std::llround(size.quantized_weights);
    totals.dense_weights = std::llround(size.dense_weights);
    totals.file_bytes = store.file_bytes();
    double bits = size.bits_per_weight * size.quantized_weights;
    for (const std::string& name : store.names()) {
        const StoredTensor tensor = store.info(name);
        if (is_dense(tensor))
            bits += tensor.bits_per_weight * static_cast<double>(tensor.shape.rows) *
                    static_cast<double>(tensor.shape.cols);
    }
    totals.model_bytes = std::llround(bits / 8);
    return totals;
}

}  // namespace vq::apps
