// SPDX-License-Identifier: Apache-2.0
// What a whole store amounts to: sums over its tensors' attributes.
#pragma once

#include <cstdint>
#include <string>

#include "io/hdf5/store.h"

namespace vq::apps {

struct StoreTotals {
    double bits_per_weight = 0;  ///< of the quantized tensors, every stored bit counted
    std::int64_t quantized_weights = 0;
    std::int64_t dense_weights = 0;
    std::int64_t model_bytes = 0;  ///< of all tensors, dense ones included
    std::int64_t file_bytes = 0;   ///< model, configuration, tokenizer, HDF5's own
};

StoreTotals totals_of(const StoreReader& store);

}  // namespace vq::apps
