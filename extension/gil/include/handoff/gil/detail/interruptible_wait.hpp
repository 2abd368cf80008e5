// interruptible_wait(): a wait without the GIL, during which signal handlers run.
#pragma once

#include <handoff/gil/python.hpp>
#include <handoff/gil/release.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

#if PY_VERSION_HEX >= 0x030D0000
// Exported, but declared in an internal header.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" int _PyOS_IsMainThread(void);
#endif

namespace handoff::detail {

/// A signal that arrives just before a wait begins does not interrupt it. So the main thread, which
/// runs the handler, checks this often.
inline constexpr std::chrono::milliseconds signal_check{100};

/// When a wait with this timeout ends: at most in a hundred years, so that no time overflows.
template <class Rep, class Period>
std::chrono::steady_clock::time_point deadline_after(
    std::chrono::duration<Rep, Period> timeout) noexcept {
    using seconds = std::chrono::duration<double>;
    static constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365 * 100);
    seconds const least = std::max(seconds(timeout), seconds::zero());
    return std::chrono::steady_clock::now() +
           (least < longest ? std::chrono::ceil<std::chrono::nanoseconds>(least) : longest);
}

/// The same; an empty timeout is the longest.
inline std::chrono::steady_clock::time_point deadline_after(
    std::optional<std::chrono::nanoseconds> timeout) noexcept {
    return deadline_after(timeout.value_or(std::chrono::nanoseconds::max()));
}

/// How a wait ended.
enum class wait_end {
    reached,      // what was waited for is ready
    timed_out,    // it was not ready in time
    interrupted,  // a signal handler has raised: a Python error is set
};

/// Calls wait_until(time) with the GIL released, until it returns true or the deadline has passed.
/// wait_until(time) waits until that time at most and returns whether it is ready. If signals are
/// handled here, in Python's main thread, each call waits for signal_check at most, and signal
/// handlers run in between. A signal does not lose a result: its handler runs when Python code runs
/// next.
///
/// Release is what releases the GIL: gil_release, or release_with_lock.
///
/// GIL:    any on entry; the same on return. If it is not held, other threads handle signals.
/// Source: CPython's PyErr_CheckSignals, which does nothing in other threads: by the same check.
template <class Release = gil_release, class WaitUntil>
wait_end interruptible_wait(std::chrono::steady_clock::time_point deadline,
                            WaitUntil const& wait_until) {
    if (!gil_held()) {
        return wait_until(deadline) ? wait_end::reached : wait_end::timed_out;
    }
    using clock = std::chrono::steady_clock;
    bool const handles_signals = _PyOS_IsMainThread() != 0;
    for (;;) {
        bool reached = false;
        {
            Release while_waiting;
            reached = wait_until(handles_signals ? std::min(deadline, clock::now() + signal_check)
                                                 : deadline);
        }
        if (reached) {
            return wait_end::reached;
        }
        if (PyErr_CheckSignals() != 0) {
            return wait_end::interrupted;
        }
        if (clock::now() >= deadline) {
            return wait_end::timed_out;
        }
    }
}

}  // namespace handoff::detail
