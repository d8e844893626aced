// SPDX-License-Identifier: Apache-2.0
// CancelScope: work in the depth of a computation can be stopped without every function between
// handing a Progress down. Whoever starts the work opens a scope on its thread; parallel_for asks
// before every item that it gives to a thread, and loops inside a long item ask themselves.
#pragma once

#include <functional>

#include "base/progress.h"

namespace vq {

namespace cancel_detail {
/// Of this thread; null: nobody can ask it to stop.
inline constinit thread_local const std::function<bool()>* in_force = nullptr;
}  // namespace cancel_detail

/// Throws Cancelled when the scope in force on this thread is asked to stop. Costs a call of the
/// scope's function: for loops whose rounds take microseconds or more.
inline void check_cancelled() {
    const std::function<bool()>* asked = cancel_detail::in_force;
    if (asked != nullptr && (*asked)()) throw Cancelled();
}

/// While alive, check_cancelled() on this thread asks `cancelled`, which must outlive the scope and
/// may be called from several threads at once.
class CancelScope {
public:
    /// An empty function leaves the scope around this one in force.
    explicit CancelScope(const std::function<bool()>& cancelled)
        : CancelScope(cancelled ? &cancelled : cancel_detail::in_force) {}
    /// The scope that was in force elsewhere: in_force() of the thread that hands out work.
    explicit CancelScope(const std::function<bool()>* other) : saved_(cancel_detail::in_force) {
        cancel_detail::in_force = other;
    }
    ~CancelScope() { cancel_detail::in_force = saved_; }
    CancelScope(const CancelScope&) = delete;
    CancelScope& operator=(const CancelScope&) = delete;

    static const std::function<bool()>* in_force() { return cancel_detail::in_force; }

private:
    const std::function<bool()>* saved_;
};

}  // namespace vq
