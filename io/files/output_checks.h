// SPDX-License-Identifier: Apache-2.0
// What is asked of an output's place before hours of work, not after.
#pragma once

#include <string>

namespace vq {

/// Throws Error when the folder of `path` is missing or cannot be written, or `path` is a folder.
/// Leaves nothing behind.
void check_can_write(const std::string& path);

/// Throws Error when the disk that `path` will be on has less than `bytes` free.
void check_space(const std::string& path, double bytes);

}  // namespace vq
