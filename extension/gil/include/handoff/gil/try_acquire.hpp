// gil_try_acquire: the calling thread holds the GIL, or learns that Python is not running.
#pragma once

#include <handoff/gil/acquire.hpp>
#include <handoff/gil/gate.hpp>

#include <optional>

namespace handoff {

/// Like gil_acquire, for a native thread that may run when Python is ending, has ended, or has not
/// started. Then the GIL is not held in scope, and the thread continues in C++.
///
///     void on_frame(frame const& seen) {             // called by a library's own thread
///         if (handoff::gil_try_acquire gil; gil) {
///             callback(seen);
///         }
///     }
///
///     the calling thread                     is admitted
///     holds the GIL                          always; there is nothing to do
///     is registered, or already inside       unless the gate has abandoned it
///     any other                              while the gate is open
///
/// While the guard lives, Python does not finalize, up to the gate's grace. So the thread waits
/// for the GIL only as long as others hold it, and CPython never ends or hangs the thread.
///
/// GIL:      any on entry; the same on return. Held in scope when true.
/// Threads:  any.
/// Throws:   std::bad_alloc if no thread state, or no guard of Python 3.15, can be made.
/// REQUIRES: gil_gate::open() was called, by the host or by a module. Otherwise it is always false,
///           and stderr says so.
///           Destroyed by the thread that made it, in reverse order of construction; no lock held
///           for which a holder of the GIL might wait.
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_try_acquire {
public:
    [[nodiscard]] gil_try_acquire() {
        if (gil_held()) {
            held_ = true;
            return;
        }
        held_ = in_.emplace().unless_abandoned([this] { gil_.emplace(detail::not_held()); },
                                               [this] { gil_.reset(); });
        if (!in_->admitted()) [[unlikely]] {
            in_->explain_refusal();
        }
    }

    ~gil_try_acquire() { made_.assert_still_here("gil_try_acquire"); }

    gil_try_acquire(gil_try_acquire const&) = delete;
    gil_try_acquire& operator=(gil_try_acquire const&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return held_; }

private:
    std::optional<detail::passage> in_;  // outlives the hold
    std::optional<gil_acquire> gil_;
    bool held_ = false;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace handoff
