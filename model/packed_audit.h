// SPDX-License-Identifier: Apache-2.0
// The audit of a packed file: every byte by what it is for.
#pragma once

#include <string>
#include <vector>

#include "model/ops/packed_model.h"
#include "vq/tensor/store_audit.h"

namespace vq {

/// `tables`: names of the embedding and the head.
Audit audit_packed(const PackedWeights& file, const std::vector<std::string>& tables);

}  // namespace vq
