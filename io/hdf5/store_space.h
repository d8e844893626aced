// SPDX-License-Identifier: Apache-2.0
// Where the bytes of an HDF5 file are: data by dataset, and what HDF5 itself needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vq {

struct DatasetSpace {
    std::string group;           ///< "" for the root, "tokenizer", "tensors", ...
    std::string owner;           ///< in `group`: a tensor's name, or empty
    std::string name;            ///< "codes"
    std::int64_t bytes = 0;      ///< of its elements
    std::int64_t checksums = 0;  ///< one a chunk
    std::int64_t padding = 0;    ///< of chunks that are not full
};

/// All of it together is the size of the file.
struct StoreSpace {
    std::vector<DatasetSpace> datasets;
    std::int64_t superblock = 0;
    std::int64_t headers = 0;  ///< of groups and datasets, attributes among them
    std::int64_t indexes = 0;  ///< links of large groups, places of chunks
    std::int64_t gaps = 0;     ///< between blocks that HDF5 allocates and does not fill
    std::int64_t file_bytes = 0;

    std::int64_t sum() const;
};

/// Throws Error when `path` cannot be read or is not what a StoreWriter writes.
StoreSpace store_space(const std::string& path);

}  // namespace vq
