// SPDX-License-Identifier: Apache-2.0
// What the parts of the HDF5 wrapper share: the state of an open file, failures, type ids.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/h5_driver.h"

namespace vq::h5 {

inline constexpr std::int64_t checksum_bytes = 4;  ///< of a chunk

struct FileState {
    std::string path;
    std::int64_t bytes = 0;  ///< size when opened for reading; bounds every allocation
    bool writing = false;
    DriverState driver;
};

/// The Error for an HDF5 call that failed just now: a failed write of the file if there was one,
/// else `what` with the innermost message of HDF5's error stack.
Error failure(const FileState& state, const std::string& what, const std::string& where);

/// An Error for a file that is not what it should be.
Error damaged(const std::string& what, const std::string& where);

/// Wraps a new id; throws failure() when it is not valid.
Id checked(hid_t id, Id::Closer closer, const FileState& state, const std::string& what,
           const std::string& where);

/// The type of elements in the file, little-endian; f16 is IEEE binary16.
Id file_type(ElementType type);
/// The inverse; nothing when it is a type that the store does not use.
std::optional<ElementType> element_type_of(hid_t type);
/// UTF-8 of a fixed number of bytes, padded with zeros.
Id text_type(std::size_t bytes);

Json parse_json(const std::string& text, const std::string& where);

}  // namespace vq::h5
