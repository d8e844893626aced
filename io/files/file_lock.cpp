// SPDX-License-Identifier: Apache-2.0
#include "io/files/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "io/files/atomic_file.h"

namespace vq {

FileLock::FileLock(const std::string& path, LockKind kind) {
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) throw system_error("write to", path, errno);
    if (flock(fd_, (kind == LockKind::alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return;
    const int reason = errno;
    close(fd_);
    fd_ = -1;
    if (reason == EWOULDBLOCK)
        throw Error("another process works here", path,
                    "wait until it is done, or name another folder");
    throw system_error("lock", path, reason);
}

FileLock::~FileLock() {
    if (fd_ >= 0) close(fd_);
}

std::string claim_folder(const std::string& folder, const std::string& name) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    std::error_code error;
    std::filesystem::create_directory(folder, error);
    if (error) throw system_error("make", folder, error.value());
    if (!std::filesystem::exists(path, error) && !std::filesystem::is_empty(folder, error))
        throw Error("the folder holds other files", folder, "name a new or an empty folder");
    return path.string();
}

}  // namespace vq
