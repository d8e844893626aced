// SPDX-License-Identifier: Apache-2.0
#include "apps/lost_pages.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <fstream>

namespace vq::apps {
namespace {

std::atomic<std::uintptr_t> lost_page{0};
std::uintptr_t page_bytes = 4096;

// Only system calls and atomics are allowed in here.
extern "C" void replace_page(int signal, siginfo_t* info, void* /*context*/) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    const std::uintptr_t page = address / page_bytes * page_bytes;
    if (info->si_code == BUS_ADRERR &&
        ::mmap(reinterpret_cast<void*>(page), page_bytes, PROT_READ,  // NOLINT
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
        lost_page.store(page);
        return;
    }
    (void)std::signal(signal, SIG_DFL);  // the access is repeated and kills
}

/// One line of /proc/self/maps: "begin-end rights offset device inode   path".
struct Region {
    std::uintptr_t begin = 0, end = 0;
    std::string path;
};

Region parse_region(const std::string& line) {
    Region region;
    const char* last = line.data() + line.size();
    const auto first = std::from_chars(line.data(), last, region.begin, 16);
    if (first.ptr != last) std::from_chars(first.ptr + 1, last, region.end, 16);
    if (const std::size_t slash = line.find('/'); slash != std::string::npos)
        region.path = line.substr(slash);
    return region;
}

/// The file whose pages lie around the lost one, which the system now counts as no file's.
std::string file_around(std::uintptr_t page) {
    std::ifstream maps("/proc/self/maps");
    Region before, hole;
    for (std::string line; std::getline(maps, line);) {
        const Region region = parse_region(line);
        if (region.begin <= page && page < region.end)
            hole = region;
        else if (hole.end == 0)
            before = region;
        else if (region.begin == hole.end && !region.path.empty())
            return region.path;
        else
            break;
    }
    return before.end == hole.begin ? before.path : "";
}

}  // namespace

void survive_lost_pages() {
    page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = replace_page;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, nullptr);
}

bool pages_were_lost() {
    return lost_page.load() != 0;
}

std::string lost_pages_message() {
    const std::string path = file_around(lost_page.load());
    return fmt::format(
        "file became shorter while it was read, or its disk failed: {}: let no other program write "
        "it, check the disk, and start again",
        path.empty() ? "a file of this run" : path);
}

}  // namespace vq::apps
