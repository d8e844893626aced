// SPDX-License-Identifier: Apache-2.0
// A store as a packed file (docs/packed-format.md): tensors in the layouts of the decode kernels,
// shared codebooks once, configuration and tokenizer along.
#pragma once

#include <cstdint>
#include <string>

#include "base/progress.h"
#include "vq/exports/packed_writer.h"

namespace vq {

/// What matrices that the store keeps dense become: fp16, or int8 with a scale for 32 values.
enum class PackedMatrices : std::uint8_t { f16, int8 };

struct PackedExport {
    std::int64_t tensors = 0;
    std::int64_t coded = 0;  ///< of them
    std::int64_t bytes = 0;
};

/// Reads the store at `store` and writes `path`, atomically. Vectors that are not quantized stay as
/// they are. Throws Error when a tensor of the store cannot be packed.
PackedExport export_packed(const std::string& store, const std::string& path,
                           PackedMatrices matrices, const Progress& progress);
/// The same into `sink`.
PackedExport export_packed(const std::string& store, const PackedSink& sink,
                           PackedMatrices matrices, const Progress& progress);

}  // namespace vq
