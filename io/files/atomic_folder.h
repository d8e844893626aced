// SPDX-License-Identifier: Apache-2.0
// AtomicFolder: a folder of output files that is either whole under its name or not there at all.
#pragma once

#include <filesystem>
#include <string>

namespace vq {

/// Files are written to "<path>.tmp/" (what a killed run left there is removed, what another run is
/// writing is locked and refused), which commit()
/// renames. Without commit() the destructor removes it.
class AtomicFolder {
public:
    /// Throws Error when `path` is there already (an empty folder is taken over), or when the
    /// folder that will hold it is missing or cannot be written.
    explicit AtomicFolder(const std::string& path);
    ~AtomicFolder();
    AtomicFolder(const AtomicFolder&) = delete;
    AtomicFolder& operator=(const AtomicFolder&) = delete;

    /// Where to write the file that will be `name` in the folder.
    std::string file(const std::string& name) const { return (temp_ / name).string(); }
    void commit();

private:
    std::filesystem::path path_;
    std::filesystem::path temp_;
    int lock_ = -1;  ///< keeps the temporary folder open and locked
    bool committed_ = false;
};

}  // namespace vq
