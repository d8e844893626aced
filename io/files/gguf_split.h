// SPDX-License-Identifier: Apache-2.0
// Models that are cut into several GGUF files, "NAME-00001-of-00003.gguf" and so on. Each says in
// its metadata which part it is (split.no, from 0), of how many (split.count), and how many tensors
// they hold together (split.tensors.count); the first one holds all other metadata.
#pragma once

#include <string>
#include <vector>

#include "io/files/gguf_header.h"

namespace vq {

struct GgufPart {
    MappedFile file;
    GgufHeader header;
};

/// Opens `path` and, when it is a part of a split model, all others beside it; in their order.
/// Throws Error that names the part which is missing or says another thing than its name.
std::vector<GgufPart> open_gguf_parts(const std::string& path);

}  // namespace vq
