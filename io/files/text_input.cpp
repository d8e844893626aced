// SPDX-License-Identifier: Apache-2.0
#include "io/files/text_input.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

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
    if (text.find_first_not_of(" \t\r\n\v\f") == std::string::npos)
        throw Error("the text is empty", path, "name a file that holds text");
    return text;
}

}  // namespace vq
