// SPDX-License-Identifier: Apache-2.0
// Models that are cut into several GGUF files, "NAME-00001-of-00003.gguf" and so on. Each says in
// its metadata which part it is (split.no, from 0), of how many (split.count), and how many tensors
// they hold together (split.tensors.count); the first one holds all other metadata.
#pragma once

#include <string>
#include <vector>

#include "io/gguf/gguf_header.h"

namespace vq {

struct GgufPart {
    MappedFile file;
    GgufHeader header;
};

/// Every part's name, of a path that ends as those of parts do ("-00001-of-00003.gguf"); else the
/// path alone. Asks for no file.
std::vector<std::string> gguf_part_names(const std::string& path);

/// Opens `path` and, when it is a part of a split model, all others beside it; in their order.
/// Throws Error that names the part which is missing or says another thing than its name.
std::vector<GgufPart> open_gguf_parts(const std::string& path);

}  // namespace vq
