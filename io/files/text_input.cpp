// SPDX-License-Identifier: Apache-2.0
#include "io/files/text_input.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "io/files/file_kind.h"
#include "io/files/text_encoding.h"

namespace vq {

std::string read_text(const std::string& path) {
    // A folder opens like a file and then reads as nothing.
    if (std::filesystem::is_directory(path))
        throw Error("a folder where a text file was expected", path, "name a text file");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error("cannot open the text", path, std::strerror(errno));  // NOLINT
    std::ostringstream content;
    content << file.rdbuf();
    std::string text = std::move(content).str();
    if (file.bad()) throw Error("cannot read the text", path, "check the disk");
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    const FileKind* kind = recognized_kind({bytes, text.size()});
    if (kind != nullptr && !kind->is_text) throw Error(kind->what, path, kind->todo);
    if (const EncodingFault fault = encoding_fault(text); fault.what != nullptr)
        throw Error(fault.what, path, fault.todo);
    if (text.find_first_not_of(" \t\r\n\v\f") == std::string::npos)
        throw Error("the text is empty", path, "name a file that holds text");
    return text;
}

}  // namespace vq
