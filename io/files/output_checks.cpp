// SPDX-License-Identifier: Apache-2.0
#include "io/files/output_checks.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "io/files/atomic_file.h"

namespace vq {

namespace fs = std::filesystem;

namespace {

/// Whether two paths are the same file, through links too.
bool same_file(const std::string& a, const std::string& b) {
    struct stat one {};
    struct stat other {};
    return ::stat(a.c_str(), &one) == 0 && ::stat(b.c_str(), &other) == 0 &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

void check_not_input(const std::string& path, const std::string& input) {
    std::error_code error;
    std::vector<std::string> files = {input};
    if (fs::is_directory(input, error))
        for (const auto& entry : fs::directory_iterator(input, error))
            files.push_back(entry.path().string());
    for (const std::string& file : files)
        if (same_file(path, file) || same_file(path + kTempSuffix, file))
            throw Error("the output is an input", path == file ? path : path + ", " + file,
                        "choose another name: it would be overwritten");
}

}  // namespace

void check_can_write(const std::string& path, const std::vector<std::string>& inputs) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored))
        throw Error("a folder of that name is there already", path, "choose another name");
    if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored))
        throw Error("the output is no file", path, "choose the name of a file");
    for (const std::string& input : inputs) check_not_input(path, input);
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
