// SPDX-License-Identifier: Apache-2.0
#include "model/ops/check_stream.h"

#include <cmath>

#include "base/error.h"

namespace vq {

void check_stream(const float* x, Index rows, Index width, const std::string& where) {
    for (Index t = 0; t < rows; ++t) {
        if (std::isfinite(Eigen::Map<const Vector>(x + t * width, width).squaredNorm())) continue;
        throw Error("numbers overflow, or are no numbers", where,
                    "check the weights of this layer and of those before it");
    }
}

std::string layer_name(Index layer) {
    return "layer " + std::to_string(layer);
}

}  // namespace vq
