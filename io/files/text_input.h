// SPDX-License-Identifier: Apache-2.0
// A text to read as a user names it: calibration text, the text to predict.
#pragma once

#include <string>

namespace vq {

/// The whole of a text file in UTF-8. Throws Error when it cannot be read, holds no text, or is
/// text in another encoding, with what it is.
std::string read_text(const std::string& path);

}  // namespace vq
