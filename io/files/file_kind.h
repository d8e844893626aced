// SPDX-License-Identifier: Apache-2.0
// What a file is that is not what was asked for, as its first bytes show it: pointers, web pages
// and archives lie where weights should be.
#pragma once

#include <string>

#include "io/files/mapped_file.h"

namespace vq {

struct FileKind {
    const char* what;  ///< "is a Git LFS pointer, not the file itself"
    const char* todo;
    bool is_text = false;  ///< where any text is wanted, this may be the one that is meant
};

/// nullptr when the bytes are nothing that is known here.
const FileKind* recognized_kind(ByteSpan bytes);

/// Throws Error that says what the file is, when it is one of these; `where` is its path.
void refuse_recognized_kind(ByteSpan bytes, const std::string& where);

}  // namespace vq
