// SPDX-License-Identifier: Apache-2.0
// OutputFile: bytes written into a file that appears under its name only once it is whole (see
// AtomicFile), one after the other or, for a header that is known last, at a place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/files/atomic_file.h"

namespace vq {

class OutputFile {
public:
    /// Creates the temporary file. Throws Error when the folder is missing or cannot be written.
    explicit OutputFile(const std::string& path);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    /// Appends. Throws Error on a full disk or another fault of writing; the destructor then
    /// removes the temporary file.
    void write(const void* data, std::int64_t bytes);
    void write(std::string_view text);
    /// Writes at `offset`, which may lie anywhere; write() goes on where it was.
    void write_at(std::int64_t offset, const void* data, std::int64_t bytes);
    /// Makes the bytes durable and gives the file its name, replacing what was there.
    void commit();

private:
    std::string path_;
    AtomicFile file_;
    int fd_ = -1;
    std::int64_t end_ = 0;  ///< of what was appended
};

/// Writes a whole text file atomically.
void write_text_file(const std::string& path, std::string_view text);

}  // namespace vq
