// SPDX-License-Identifier: Apache-2.0
// Packed tensors of random codes, to measure kernels with: the speed of a kernel does not depend on
// what the codes are.
#pragma once

#include <string>
#include <vector>

#include "vq/exports/packed_writer.h"

namespace vq {

/// "lut-2x8", "lut-2x9", "trellis-2", "kmeans-8x16", ...: what random_packed() makes.
const std::vector<std::string>& random_code_names();

/// A file of `copies` tensors (rows, cols) of one code, named "w0", "w1", ... Throws Error when
/// there is no such code.
void random_packed(const std::string& code, Index rows, Index cols, Index copies,
                   std::uint64_t seed, const PackedSink& sink);

}  // namespace vq
