// SPDX-License-Identifier: Apache-2.0
// What is asked of an output's place before hours of work, not after.
#pragma once

#include <string>
#include <vector>

namespace vq {

/// Throws Error when the folder of `path` is missing or cannot be written, when `path` is a folder
/// or something else that is no file (a device, a pipe), and when it is one of the `inputs` or a
/// file of one of them that is a folder, under whatever name. Leaves nothing behind.
void check_can_write(const std::string& path, const std::vector<std::string>& inputs);

/// Throws Error when the disk that `path` will be on has less than `bytes` free.
void check_space(const std::string& path, double bytes);

}  // namespace vq
