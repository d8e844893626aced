// SPDX-License-Identifier: Apache-2.0
#include "io/files/atomic_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "io/files/atomic_file.h"

namespace vq {

namespace fs = std::filesystem;

AtomicFolder::AtomicFolder(const std::string& path) : path_(fs::path(path).lexically_normal()) {
    if (!path_.has_filename()) path_ = path_.parent_path();  // "name/"
    std::error_code error;
    if (fs::exists(path_, error) && !(fs::is_directory(path_, error) && fs::is_empty(path_)))
        throw Error("the output is there already", path_.string(),
                    "remove it, or choose another name");
    temp_ = path_.string() + kTempSuffix;
    for (;;) {
        fs::create_directory(temp_, error);
        if (error) throw system_error("make the folder", path_.string(), error.value());
        lock_ = ::open(temp_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (lock_ < 0 && errno == ENOENT) continue;
        if (lock_ < 0) throw system_error("make the folder", path_.string(), errno);
        if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            ::close(lock_);
            throw Error("another run is writing this folder", path_.string(),
                        "wait until it is done, or choose another name");
        }
        if (is_named(temp_.string(), lock_)) break;
        ::close(lock_);  // its owner has just finished and taken the name away
    }
    // Nothing that a killed run left may become a part of what is written now.
    try {
        for (const auto& left : fs::directory_iterator(temp_)) fs::remove_all(left);
    } catch (const fs::filesystem_error& failure) {
        ::close(lock_);
        throw system_error("empty the folder", temp_.string(), failure.code().value());
    }
}

AtomicFolder::~AtomicFolder() {
    std::error_code ignored;
    if (!committed_) fs::remove_all(temp_, ignored);
    ::close(lock_);
}

void AtomicFolder::commit() {
    std::error_code error;
    fs::rename(temp_, path_, error);
    if (error) throw system_error("rename the folder to", path_.string(), error.value());
    committed_ = true;
    sync_folder_of(path_.string());
}

}  // namespace vq
