// SPDX-License-Identifier: Apache-2.0
#include "io/files/atomic_folder.h"

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
    fs::remove_all(temp_, error);
    if (!fs::create_directory(temp_, error))
        throw system_error("make the folder", path_.string(), error.value());
}

AtomicFolder::~AtomicFolder() {
    std::error_code ignored;
    if (!committed_) fs::remove_all(temp_, ignored);
}

void AtomicFolder::commit() {
    std::error_code error;
    fs::rename(temp_, path_, error);
    if (error) throw system_error("rename the folder to", path_.string(), error.value());
    committed_ = true;
    sync_folder_of(path_.string());
}

}  // namespace vq
