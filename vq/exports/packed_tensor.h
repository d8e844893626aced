// SPDX-License-Identifier: Apache-2.0
// A tensor of a store as a tensor of a packed file: codes in the layouts of kernels, scales of the
// padded rows, transform.
#pragma once

#include "vq/exports/packed_writer.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

/// Of a tensor with codes. Throws Error that names it when packed files have no such tensor.
PackedTensor packed_tensor(const ParsedTensor& tensor);

}  // namespace vq
