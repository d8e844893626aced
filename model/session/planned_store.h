// SPDX-License-Identifier: Apache-2.0
// The store that carrying out a plan makes, before it is made: what the size of its file is
// predicted from.
#pragma once

#include <cstdint>
#include <vector>

#include "io/checkpoints/weight_source.h"
#include "io/hdf5/store.h"
#include "vq/run/plan.h"

namespace vq {

/// Outlines of all tensors in the order of the file, those that stay dense included, and of shared
/// codebooks (StoreMeta::shared of the result); `meta` brings the rest and the seed. See
/// planned_tensor() for what the weights may still change.
struct PlannedStore {
    StoreMeta meta;
    std::vector<StoredTensor> tensors;

    std::int64_t file_bytes() const { return store_file_bytes(meta, tensors); }
};
PlannedStore planned_store(const WeightSource& source, const ModelPlan& plan, StoreMeta meta);

}  // namespace vq
