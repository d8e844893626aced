// SPDX-License-Identifier: Apache-2.0
// AtomicFile: an output file that is either whole under its final name or not there at all.
// Errors of the operating system, told in one line.
#pragma once

#include <string>

#include "base/error.h"

namespace vq {

/// "cannot ACTION: No space left on device: PATH: ...", with advice that suits the errno.
Error system_error(const std::string& action, const std::string& path, int error_number);

/// Makes a rename in (or a removal from) the folder that holds `path` survive a power cut.
void sync_folder_of(const std::string& path);

/// Whether the open file or folder still has this name.
bool is_named(const std::string& path, int fd);

/// The output is written to temp(), flushed by whoever writes it, and renamed by commit(). Without
/// commit() the destructor removes the temporary file; one that a killed run left is replaced, one
/// that another run is writing is locked and refused.
class AtomicFile {
public:
    /// Throws Error when `path` is a folder, when its folder does not exist, and when another run
    /// is writing to `path`.
    explicit AtomicFile(std::string path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    const std::string& temp() const { return temp_; }
    /// fsync, rename (replacing what was there), fsync of the folder.
    void commit();

private:
    std::string path_;
    std::string temp_;
    int lock_ = -1;  ///< keeps the temporary file open and locked
    bool committed_ = false;
};

/// Ending of temporary files: "<path>.tmp".
inline constexpr const char* kTempSuffix = ".tmp";

}  // namespace vq
