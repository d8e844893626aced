// SPDX-License-Identifier: Apache-2.0
// BitMoD tensors as plain scalar grids: what a kernel for grids can work with. The values of all
// groups together, 7 + 4 at 3 bits and 15 + 4 at 4, do with one bit a weight more.
#pragma once

#include "io/hdf5/store.h"

namespace vq {

/// The same weights, bit for bit, as a residual code of one stage with d = 1 and a codebook of the
/// tensor's own. The tensor must be one that decode_stored() takes. Throws Error where its groups
/// lie along outputs.
StoredTensor bitmod_as_grid(const StoredTensor& stored);

}  // namespace vq
