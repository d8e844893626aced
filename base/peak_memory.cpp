// SPDX-License-Identifier: Apache-2.0
#include "base/peak_memory.h"

#include <fstream>
#include <string>

namespace vq {

std::int64_t peak_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        constexpr std::string_view key = "VmHWM:";
        if (line.starts_with(key)) return std::stoll(line.substr(key.size())) * 1024;
    }
    return 0;
}

bool forget_peak_memory() {
    // getrusage() has a peak too, which only grows.
    std::ofstream refs("/proc/self/clear_refs");
    refs << "5" << std::flush;
    return refs.good();
}

}  // namespace vq
