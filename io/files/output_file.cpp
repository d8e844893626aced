// SPDX-License-Identifier: Apache-2.0
#include "io/files/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"

namespace vq {

OutputFile::OutputFile(const std::string& path) : path_(path), file_(path) {
    fd_ = ::open(file_.temp().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) throw system_error("create file", path_, errno);
}

OutputFile::~OutputFile() {
    if (fd_ >= 0) ::close(fd_);
}

void OutputFile::write(const void* data, std::int64_t bytes) {
    write_at(end_, data, bytes);
    end_ += bytes;
}

void OutputFile::write_at(std::int64_t offset, const void* data, std::int64_t bytes) {
    VQ_ASSERT(fd_ >= 0 && offset >= 0);
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
        const std::int64_t chunk = std::min<std::int64_t>(bytes, std::int64_t{1} << 30);
        const ssize_t done = ::pwrite(fd_, at, static_cast<std::size_t>(chunk), offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) throw system_error("write file", path_, done < 0 ? errno : ENOSPC);
        at += done;
        offset += done;
        bytes -= done;
    }
}

void OutputFile::write(std::string_view text) {
    write(text.data(), static_cast<std::int64_t>(text.size()));
}

void OutputFile::commit() {
    VQ_ASSERT(fd_ >= 0);
    // Some file systems report a failed write only here.
    if (::close(std::exchange(fd_, -1)) != 0) throw system_error("write file", path_, errno);
    file_.commit();
}

void write_text_file(const std::string& path, std::string_view text) {
    OutputFile file(path);
    file.write(text);
    file.commit();
}

}  // namespace vq
