// SPDX-License-Identifier: Apache-2.0
// The file driver that HDF5 reads and writes through: plain pread and pwrite, with two differences
// from HDF5's own. A write that fails is remembered, not reported to HDF5: after a failed write
// HDF5 can no longer close the file, keeps its descriptor, and complains at exit; with this driver
// it always closes cleanly and the caller asks afterwards whether the bytes arrived. And the file
// is flushed to the disk (fsync) before it is closed, without advisory locks, which many network
// disks lack.
#pragma once

#include <hdf5.h>

#include <array>
#include <map>

namespace vq::h5 {

/// First failure of a file's input or output; the caller owns it and it outlives the open file.
struct DriverState {
    int error_number = 0;  ///< errno of the first failure, 0 if none
    /// Nothing goes to a disk: what HDF5 writes about its objects is kept in pages of memory, for
    /// it reads that again, and the data are dropped.
    bool measuring = false;
    static constexpr std::size_t page_bytes = 4096;
    std::map<haddr_t, std::array<unsigned char, page_bytes>> pages;  ///< by number
    haddr_t end = 0;  ///< of the file, once it is closed
};

/// Makes the file access list use the driver. Call it with the library's lock held.
/// Returns false when HDF5 refuses.
bool use_driver(hid_t access_list, DriverState* state);

}  // namespace vq::h5
