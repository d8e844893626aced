// A store as a packed file (docs/packed-format.md): tensors in the layouts of the decode kernels,
// shared codebooks once, configuration and tokenizer along.
#pragma once

#include <cstdint>
#include <string>

#include "base/progress.h"
#include "io/packed_writer.h"

namespace vq {

struct PackedExport {
    std::int64_t tensors = 0;
    std::int64_t coded = 0;  ///< of them
    std::int64_t bytes = 0;
};

/// Reads the store at `store` and writes `path`, atomically. Tensors kept dense stay as they are,
/// but fp32 matrices become fp16 where `half_matrices` is set. Throws Error when a tensor of the
/// store cannot be packed.
PackedExport export_packed(const std::string& store, const std::string& path, bool half_matrices,
                           const Progress& progress);
/// The same into `sink`.
PackedExport export_packed(const std::string& store, const PackedSink& sink, bool half_matrices,
                           const Progress& progress);

}  // namespace vq
