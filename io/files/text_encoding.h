// SPDX-License-Identifier: Apache-2.0
// Texts that are not UTF-8. Read as if they were, they would give numbers that mean nothing.
#pragma once

#include <string_view>

namespace vq {

/// What is wrong with a text, and what to do; nothing when it is UTF-8 but for a few bytes.
struct EncodingFault {
    const char* what = nullptr;  ///< "is UTF-16 text (little-endian)"
    const char* todo = nullptr;
};

/// Looks for byte-order marks, for NUL bytes at the places where UTF-16 and UTF-32 have them, and
/// for bytes that are not UTF-8, of which a text may have one in 200.
EncodingFault encoding_fault(std::string_view text);

}  // namespace vq
