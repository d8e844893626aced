// SPDX-License-Identifier: Apache-2.0
// A Hessian file as what quantization asks for, checked against the model.
#pragma once

#include <functional>
#include <string>

#include "io/families/linear_groups.h"
#include "vq/layer/hessian.h"

namespace vq {

struct HessianInput {
    std::function<HessianSum(const LinearGroup&)> lookup;
    std::string hash;  ///< of the file's bytes
};

/// Throws Error when the file is not one, or was collected from another model than the one whose
/// content_hash() is given.
HessianInput open_hessians(const std::string& path, const std::string& model_hash);

}  // namespace vq
