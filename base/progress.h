// SPDX-License-Identifier: Apache-2.0
// How the library tells a program what it is doing: it never prints. The program passes a Progress;
// the library calls step() and note(); cancelled() is asked between units of work.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"

namespace vq {

struct Progress {
    /// Work done so far: `done` of `total` units (weights, tokens), and what is being worked on.
    std::function<void(double done, double total, const std::string& what)> step;
    /// A line worth keeping in a log: a warning or a milestone.
    std::function<void(const std::string& line)> note;
    /// True when the user asked to stop (Ctrl-C). Long loops then throw Cancelled.
    std::function<bool()> cancelled;

    void report(double done, double total, const std::string& what) const {
        if (step) step(done, total, what);
    }
    void log(const std::string& line) const {
        if (note) note(line);
    }
    void check() const;
};

/// Thrown by Progress::check() after the user asked to stop. What was finished is kept on disk.
class Cancelled : public std::runtime_error {
public:
    Cancelled() : std::runtime_error("cancelled") {}
};

inline void Progress::check() const {
    if (cancelled && cancelled()) throw Cancelled();
}

}  // namespace vq
