// SPDX-License-Identifier: Apache-2.0
#include "io/files/output_checks.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace vq {

namespace fs = std::filesystem;

void check_can_write(const std::string& path) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored))
        throw Error("a folder of that name is there already", path, "choose another name");
    const fs::path parent = fs::path(path).parent_path();
    const std::string folder = parent.empty() ? "." : parent.string();
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0)
        throw Error("cannot reach the folder of the output", folder,
                    std::string(std::strerror(errno)) +  // NOLINT(concurrency-mt-unsafe)
                        "; make it first, or choose another place");
    if (!S_ISDIR(status.st_mode))
        throw Error("the output's folder is not a folder", folder, "choose another place");
    // access() believes that root can write to /proc; only an attempt tells.
    std::string probe = (fs::path(folder) / ".vq-probe-XXXXXX").string();
    const int file = ::mkstemp(probe.data());
    if (file < 0)
        throw Error("cannot write to the folder of the output", folder,
                    std::string(std::strerror(errno)) +  // NOLINT(concurrency-mt-unsafe)
                        "; choose another place");
    ::close(file);
    ::unlink(probe.c_str());
}

void check_space(const std::string& path, double bytes) {
    std::error_code error;
    fs::path folder = fs::path(path).parent_path();
    if (folder.empty()) folder = ".";
    const auto space = fs::space(folder, error);
    const auto free = static_cast<double>(space.available);
    if (!error && free < bytes)
        throw Error("the disk is too full", folder.string(),
                    fmt::format("{:.1f} MB are free and {:.1f} MB are needed while it runs; make "
                                "room or choose another place",
                                free / 1e6, bytes / 1e6));
}

}  // namespace vq
