// SPDX-License-Identifier: Apache-2.0
#include "io/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

namespace vq {

namespace {

const char* advice(int error_number) {
    switch (error_number) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG: return "free some disk space and run again";
        case EACCES:
        case EPERM:
        case EROFS: return "choose a place that you may write to";
        case ENOENT: return "check the path: its folder must exist";
        case ENOTDIR: return "check the path: a part of it is a file, not a folder";
        case EISDIR: return "give the name of a file, not of a folder";
        default: return "check the disk and the path";
    }
}

std::string folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

/// Opens, fsyncs and closes; the errno, or 0.
int sync_path(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0) return errno;
    const int failure = ::fsync(fd) == 0 ? 0 : errno;
    ::close(fd);
    return failure;
}

/// Opens `temp` as a file of its own: what stands there under this name and is a link, a device or
/// a second name of another file is not written to, its name is taken.
int open_own_file(const std::string& temp, const std::string& path) {
    for (;;) {
        const int fd =
            ::open(temp.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        const int failure = fd < 0 ? errno : 0;
        struct stat status {};
        if (fd >= 0 && ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1)
            return fd;
        if (fd >= 0) ::close(fd);
        if (fd < 0 && failure != ELOOP && failure != ENXIO)
            throw system_error("write", path, failure);
        // No name is left where its owner has just finished.
        const bool gone = fd >= 0 && S_ISREG(status.st_mode) && status.st_nlink == 0;
        if (!gone && ::unlink(temp.c_str()) != 0 && errno != ENOENT)
            throw system_error("write", path, errno);
    }
}

/// Makes `temp` an empty file, held open and locked by this process; its descriptor. The lock is
/// that of the open file: it goes when the process does, however that ends, and does not meet the
/// locks of HDF5 (flock).
int locked_empty_file(const std::string& temp, const std::string& path) {
    for (;;) {
        const int fd = open_own_file(temp, path);
        struct flock whole {};
        whole.l_type = F_WRLCK;
        whole.l_whence = SEEK_SET;
        const int failure = ::fcntl(fd, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
        // A file system without locks is used without.
        const bool unlockable = failure == EINVAL || failure == ENOLCK || failure == ENOTSUP;
        if (failure == 0 && !is_named(temp, fd)) {
            ::close(fd);  // its owner has just finished and taken the name away
            continue;
        }
        if (failure == 0 || unlockable) {
            if (::ftruncate(fd, 0) == 0) return fd;
            const int why = errno;
            ::close(fd);
            throw system_error("write", path, why);
        }
        ::close(fd);
        if (failure == EAGAIN || failure == EACCES)
            throw Error("another run is writing this file", path,
                        "wait until it is done, or choose another name");
        throw system_error("write", path, failure);
    }
}

}  // namespace

Error system_error(const std::string& action, const std::string& path, int error_number) {
    return Error("cannot " + action + ": " + std::generic_category().message(error_number), path,
                 advice(error_number));
}

bool is_named(const std::string& path, int fd) {
    struct stat held {};
    struct stat named {};
    return ::fstat(fd, &held) == 0 && ::lstat(path.c_str(), &named) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

void sync_folder_of(const std::string& path) {
    const int failure = sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
    // Some file systems cannot sync a folder and say EINVAL; there is nothing more to be done then.
    if (failure != 0 && failure != EINVAL) throw system_error("write", path, failure);
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temp_(path_ + kTempSuffix) {
    struct stat status {};
    if (::stat(folder_of(path_).c_str(), &status) != 0) throw system_error("write", path_, errno);
    if (!S_ISDIR(status.st_mode)) throw system_error("write", path_, ENOTDIR);
    if (::stat(path_.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
        throw system_error("write", path_, EISDIR);
    lock_ = locked_empty_file(temp_, path_);
}

AtomicFile::~AtomicFile() {
    // First the name, then the lock: nobody else can lock the file under this name in between.
    if (!committed_) ::unlink(temp_.c_str());
    ::close(lock_);
}

void AtomicFile::commit() {
    if (const int failure = sync_path(temp_, O_RDONLY)) throw system_error("write", path_, failure);
    if (::rename(temp_.c_str(), path_.c_str()) != 0) throw system_error("write", path_, errno);
    committed_ = true;
    sync_folder_of(path_);
}

}  // namespace vq
