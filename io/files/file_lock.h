// SPDX-License-Identifier: Apache-2.0
// Locks that live as long as their object and die with the process: what a killed process leaves
// behind is a file and not a lock.
#pragma once

#include <string>

namespace vq {

/// Who else may hold a lock.
enum class LockKind { alone, together };

class FileLock {
public:
    /// Locks the file `path`, which is made if it is missing. Throws Error when another process
    /// holds it (one that is alone, or any for LockKind::alone) and when it cannot be written.
    explicit FileLock(const std::string& path, LockKind kind = LockKind::alone);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

private:
    int fd_ = -1;
};

/// Makes the folder (not those above it) if it is missing, for a FileLock of its file `name`. Throws
/// Error when it holds files but not this one, so that it is somebody else's, and when it cannot be
/// made. Returns the path of the file.
std::string claim_folder(const std::string& folder, const std::string& name);

}  // namespace vq
