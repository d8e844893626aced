// SPDX-License-Identifier: Apache-2.0
// A Hessian file as what quantization asks for, checked against the model.
#pragma once

#include <functional>
#include <string>

#include "io/checkpoints/weight_source.h"
#include "io/families/linear_groups.h"
#include "vq/layer/hessian.h"

namespace vq::apps {

struct HessianInput {
    std::function<HessianSum(const LinearGroup&)> lookup;
    std::string hash;  ///< of the file's bytes
};

/// Throws Error when the file is not one, or was collected from another model.
HessianInput open_hessians(const std::string& path, const WeightSource& source);

}  // namespace vq::apps
