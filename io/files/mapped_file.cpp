// SPDX-License-Identifier: Apache-2.0
#include "io/files/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/files/file_kind.h"

namespace vq {
namespace {

std::string system_message(int code) {
    return std::generic_category().message(code);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
    // O_NONBLOCK: opening a pipe must not wait for a writer; regular files ignore it.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        throw Error("cannot open file (" + system_message(errno) + ")", path,
                    "check the path and its permissions");
    struct stat status {};
    const bool known = ::fstat(fd, &status) == 0;
    if (!known || !S_ISREG(status.st_mode)) {
        const bool folder = known && S_ISDIR(status.st_mode);
        ::close(fd);
        throw Error(folder ? "is a folder, not a file" : "is not a regular file", path,
                    "give the path of a file");
    }
    if (status.st_size > 0) {
        const auto size = static_cast<std::size_t>(status.st_size);
        void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
        const int code = errno;
        if (data == MAP_FAILED) {
            ::close(fd);
            throw Error("cannot map file (" + system_message(code) + ")", path,
                        "check the file system and the limits on memory");
        }
        fd_ = fd;
        bytes_ = ByteSpan(static_cast<const std::uint8_t*>(data), size);
    } else {
        ::close(fd);
    }
}

MappedFile::~MappedFile() {
    // munmap takes a non-const pointer; the mapping is ours.
    if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
    if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(bytes_, other.bytes_);
    std::swap(fd_, other.fd_);
    return *this;
}

void MappedFile::release(ByteSpan part) const {
    if (part.empty()) return;
    // What lies behind the new end reads as nothing that was ever in the file.
    struct stat status {};
    if (::fstat(fd_, &status) == 0 && status.st_size < size())
        throw Error(fmt::format("file had {} bytes when it was opened and has {} now", size(),
                                status.st_size),
                    path_, "let no other program write it, and start again");
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(part.data());
    const std::uintptr_t first = (begin + page - 1) / page * page;
    const std::uintptr_t last = (begin + part.size()) / page * page;
    if (first >= last) return;
    auto* pages = const_cast<std::uint8_t*>(part.data()) + (first - begin);
    ::madvise(pages, last - first, MADV_DONTNEED);
}

std::string read_text_file(const std::string& path, std::int64_t limit) {
    const MappedFile file(path);
    if (file.size() > limit)
        throw Error(fmt::format("file has {} bytes, the limit is {}", file.size(), limit), path,
                    "check that it is the right file");
    if (file.size() == 0) return {};
    refuse_recognized_kind(file.bytes(), path);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace vq
