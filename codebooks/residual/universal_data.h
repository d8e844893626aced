// SPDX-License-Identifier: Apache-2.0
// The bytes of codebooks/data/*.npy, put into the library by the build.
#pragma once

#include <cstddef>
#include <span>

namespace vq {

struct UniversalData {
    const char* name;  ///< file name without .npy
    const unsigned char* bytes;
    std::size_t size;
};

std::span<const UniversalData> universal_data();

}  // namespace vq
