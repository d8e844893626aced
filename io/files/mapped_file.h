// SPDX-License-Identifier: Apache-2.0
// A file mapped read-only into memory: model files are larger than memory, so they are never read
// whole. What has been used can be let go again, which keeps the resident size small.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace vq {

using ByteSpan = std::span<const std::uint8_t>;

class MappedFile {
public:
    /// Maps a regular file; an empty one gives an empty span. Throws Error that names the path when
    /// it is missing, unreadable, or not a regular file.
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::string& path() const { return path_; }
    std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }
    ByteSpan bytes() const { return bytes_; }

    /// To be called when `part` (a part of bytes()) has been used: takes its whole pages out of this
    /// process's memory (they are read again when touched), and throws Error when the file has
    /// become shorter since it was mapped. Safe while other threads read.
    void release(ByteSpan part) const;

private:
    std::string path_;
    ByteSpan bytes_;
    int fd_ = -1;  ///< open as long as the mapping, to ask for the size
};

/// The content of a small file (configuration, tokenizer). Throws Error when it is missing,
/// unreadable, longer than `limit` bytes, or a pointer, web page or archive in its place.
std::string read_text_file(const std::string& path, std::int64_t limit);

}  // namespace vq
