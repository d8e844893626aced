// SPDX-License-Identifier: Apache-2.0
#include "base/packed/code_kernels.h"

namespace vq::decode {

void byte_inputs(const Kernels& shared, const Segment& s, const float* x, Index /*item*/,
                 void* inputs) {
    shared.quantize(x, s.cols, buffers_in(inputs, byte_room(s.cols)));
}

}  // namespace vq::decode
