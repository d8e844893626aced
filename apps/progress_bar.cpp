// SPDX-License-Identifier: Apache-2.0
#include "apps/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "apps/process.h"

namespace vq::apps {
namespace {

constexpr auto live_interval = std::chrono::milliseconds(100);
constexpr auto plain_interval = std::chrono::seconds(5);
constexpr int bar_cells = 24;

int terminal_columns() {
    struct winsize size {};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
}

}  // namespace

ProgressBar::ProgressBar(const Common& common, std::string unit)
    : quiet_(common.quiet),
      live_(isatty(STDERR_FILENO) == 1),
      unit_(std::move(unit)),
      begin_(Clock::now()),
      shown_(live_ ? begin_ - live_interval : begin_) {
}  // a live bar is there from the first report on

ProgressBar::~ProgressBar() {
    erase();
}

Progress ProgressBar::progress() {
    return {.step = [this](double done, double total,
                           const std::string& what) { step(done, total, what); },
            .note = [this](const std::string& line) { note(line); },
            .cancelled = interrupted};
}

void ProgressBar::step(double done, double total, const std::string& what) {
    if (quiet_) return;
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    if (total != total_ || done < last_done_) {  // another stretch of work: another rate
        begin_ = now;
        first_done_ = done;
        total_ = total;
    }
    last_done_ = done;
    if (now - shown_ < (live_ ? Clock::duration(live_interval) : Clock::duration(plain_interval)))
        return;
    shown_ = now;
    if (live_) {
        draw(done, total, what);
        drawn_ = true;
    } else {
        say(fmt::format("{}  {}\n", status(done, total), what));
    }
}

void ProgressBar::note(const std::string& line) {
    if (quiet_) return;
    const std::lock_guard lock(mutex_);
    erase();
    drawn_ = false;
    say(line + "\n");
}

std::string ProgressBar::status(double done, double total) const {
    const double share = total > 0 ? std::clamp(done / total, 0.0, 1.0) : 0.0;
    const double elapsed = seconds_between(begin_, Clock::now());
    std::string line = fmt::format("{:5.1f}%", 100 * share);
    if (elapsed > 0.5 && done > first_done_) {
        const double rate = (done - first_done_) / elapsed;
        line += fmt::format("  {} {}/s", format_count(rate), unit_);
        line += fmt::format("  {} elapsed  {} left", format_seconds(elapsed),
                            format_seconds((total - done) / rate));
    } else {
        line += fmt::format("  {} elapsed", format_seconds(elapsed));
    }
    return line;
}

void ProgressBar::draw(double done, double total, const std::string& what) const {
    const double share = total > 0 ? std::clamp(done / total, 0.0, 1.0) : 0.0;
    const int full = static_cast<int>(share * bar_cells);
    std::string line = "[" + std::string(static_cast<std::size_t>(full), '#') +
                       std::string(static_cast<std::size_t>(bar_cells - full), '.') + "] " +
                       status(done, total) + "  " + what;
    // A line that wraps cannot be taken back.
    const auto columns = static_cast<std::size_t>(terminal_columns());
    if (line.size() >= columns) line.resize(columns - 1);
    say("\r\033[K" + line);
}

void ProgressBar::erase() const {
    if (!drawn_) return;
    say("\r\033[K");
}

}  // namespace vq::apps
