// SPDX-License-Identifier: Apache-2.0
// How a tensor lies in an HDF5 group: shared by part files, the store, and both directions.
#pragma once

#include <cstdint>
#include <string>

#include "io/hdf5/h5.h"
#include "io/hdf5/store.h"

namespace vq {

inline constexpr const char* kStoreFormat = "vqkit";
inline constexpr const char* kPartFormat = "vqkit-part";
/// What is written. 2: the embedding and the head are coded (code "bytes", role "embedding").
inline constexpr std::int64_t kStoreVersion = 2;
/// The oldest that is read: a store of version 1 is one of version 2 whose embeddings are dense.
inline constexpr std::int64_t kOldestStoreVersion = 1;

/// A name as one HDF5 link: '/', '%', control characters and a leading '.' become %XX.
std::string escape_link(const std::string& name);
/// The inverse.
std::string unescape_link(const std::string& link);

/// Fills the new group of one tensor: attributes, then its arrays by name. `seconds` is kept only
/// in parts: a store's bytes must not depend on how long a run took.
void write_tensor(h5::Group& group, const StoredTensor& tensor, bool with_seconds);

/// Reads what write_tensor() wrote. Throws Error when an attribute is missing or absurd, when the
/// arrays together claim more than the file's size, or when a checksum does not match.
StoredTensor read_tensor(const h5::Group& group, const std::string& name, bool with_arrays);

/// Checks the root attributes `format` and `format_version`, oldest to newest. Throws Error.
void check_format(const h5::Group& root, const char* format, std::int64_t oldest,
                  std::int64_t newest, const std::string& path);

}  // namespace vq
