// SPDX-License-Identifier: Apache-2.0
// QuantizedTensor: all of a quantized tensor that a store keeps, in memory.
#pragma once

#include "base/matrix.h"
#include "vq/tensor/coded_tensor.h"
#include "vq/tensor/proxy.h"
#include "vq/tensor/side_terms.h"
#include "vq/tensor/transform.h"

namespace vq {

struct QuantizedTensor {
    Index rows = 0;  ///< of W, unpadded
    Index cols = 0;
    CodedTensor tensor;
    Transform transform;
    SideTerms side;       ///< in the original space
    TensorErrors errors;  ///< under H as collected, undamped
};

}  // namespace vq
