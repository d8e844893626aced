// SPDX-License-Identifier: Apache-2.0
#include "apps/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"

namespace vq::apps {
namespace {

/// Of one thread: its stack (8 MB), an arena of malloc (64 MB), a buffer of OpenBLAS (128 MB).
constexpr double bytes_of_thread = 210e6;
/// That even the smallest run asks for beside what is mapped at the start.
constexpr double bytes_of_run = 128e6;

/// Address space in use.
double mapped_bytes() {
    std::ifstream file("/proc/self/statm");
    double pages = 0;
    file >> pages;
    return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void prepare_process() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)::open("/dev/null", O_RDWR);  // takes the lowest number that is free: fd
    (void)std::signal(SIGPIPE, SIG_IGN);
    (void)std::signal(SIGXFSZ, SIG_IGN);
}

void say(std::string_view text) {
    while (!text.empty()) {
        const ssize_t done = ::write(STDERR_FILENO, text.data(), text.size());
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(done));
    }
}

void reserve_blas_memory(int threads) {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    const auto most = static_cast<double>(limit.rlim_cur);
    const double needed = mapped_bytes() + bytes_of_run + threads * bytes_of_thread;
    if (most < needed)
        throw Error(fmt::format("the address space is limited to {:.0f} MB", most / 1e6),
                    "ulimit -v",
                    fmt::format("{} threads need at least {:.0f} MB: raise the limit, or use fewer "
                                "--threads",
                                threads, needed / 1e6));
    // OpenBLAS takes a buffer for each product that runs at the same time, and keeps it.
    std::atomic<int> waiting = 0;
    parallel_for(threads, [&](std::int64_t) {
        constexpr Index n = 128;
        std::vector<float> x(n * n, 1.0F);
        std::vector<float> y(n * n);
        ++waiting;
        for (int i = 0; i < 100 && waiting < threads; ++i) ::usleep(1000);
        sgemm_serial(false, false, n, n, n, 1.0F, x.data(), n, x.data(), n, 0.0F, y.data(), n);
    });
}

void exit_at_once(int code) {
    std::fflush(stdout);
    std::_Exit(code);
}

}  // namespace vq::apps
