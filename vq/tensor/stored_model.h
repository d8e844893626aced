// SPDX-License-Identifier: Apache-2.0
// A quantized store as a WeightSource: tensors are decoded when they are read, so that evaluation,
// generation and export run on a store as on any checkpoint.
#pragma once

#include <memory>
#include <string>

#include "io/checkpoints/weight_source.h"
#include "io/hdf5/store.h"

namespace vq {

/// Opens a store. Throws Error when it is not one, or lacks a tensor that its model needs.
std::unique_ptr<WeightSource> open_stored_model(const std::string& path);

/// Decodes every tensor and returns one line for each that cannot be decoded; empty: all is well.
/// Complements verify_store(), which checks the file.
std::vector<std::string> verify_codes(const std::string& path, const Progress& progress);

}  // namespace vq
