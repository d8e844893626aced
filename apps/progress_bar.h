// SPDX-License-Identifier: Apache-2.0
// Shows a Progress on stderr: one live line on a terminal, a plain line every few seconds elsewhere
// (so that logs stay readable), nothing with --quiet.
#pragma once

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>

#include "apps/common.h"
#include "base/progress.h"

namespace vq::apps {

class ProgressBar {
public:
    /// `unit` names what is counted, for the rate: "weights", "tokens".
    ProgressBar(const Common& common, std::string unit);
    /// Takes the live line away.
    ~ProgressBar();
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    /// The callbacks for the library; they refer to this bar and may be called from any thread.
    Progress progress();

private:
    using Clock = std::chrono::steady_clock;

    void step(double done, double total, const std::string& what);
    void note(const std::string& line);
    std::string status(double done, double total) const;
    void draw(double done, double total, const std::string& what) const;
    void erase() const;

    bool quiet_;
    bool live_;
    std::string unit_;
    std::mutex mutex_;
    Clock::time_point begin_;  ///< when the present stretch of work began
    double first_done_ = -1;   ///< what was done already then (an earlier run's work)
    double total_ = -1;
    double last_done_ = 0;
    Clock::time_point shown_;  ///< when a line was last written
    bool drawn_ = false;       ///< a live line is on the screen
};

}  // namespace vq::apps
