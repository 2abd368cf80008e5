// interruptible_wait(): a wait without the GIL, in which the handlers of signals run.
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

/// A signal that arrives just before a wait begins does not interrupt it: the main thread, which is
/// to run the handler, looks again this often.
inline constexpr std::chrono::milliseconds signal_check{100};

/// When a wait with this timeout, or without one, ends: in a hundred years at most, so that no time
/// overflows.
inline std::chrono::steady_clock::time_point deadline_after(
    std::optional<std::chrono::nanoseconds> timeout) noexcept {
    static constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365 * 100);
    return std::chrono::steady_clock::now() + std::min(timeout.value_or(longest), longest);
}

/// How a wait has ended.
enum class wait_end {
    reached,      // what was waited for is there
    timed_out,    // it was not in time
    interrupted,  // the handler of a signal has raised: a Python error is set
};

/// Calls wait_until(time), which waits until then at most and returns whether what it waits for is
/// there, with the GIL released, and again until it is, or the deadline has passed. Where signals
/// are handled, in Python's main thread, each call is for signal_check at most.
///
/// GIL:    held on entry and on return.
/// Source: CPython's PyErr_CheckSignals, which does nothing elsewhere: by the same question.
template <class WaitUntil>
wait_end interruptible_wait(std::chrono::steady_clock::time_point deadline,
                            WaitUntil const& wait_until) {
    using clock = std::chrono::steady_clock;
    bool const handles_signals = _PyOS_IsMainThread() != 0;
    for (;;) {
        bool reached = false;
        {
            gil_release while_waiting;
            reached = wait_until(handles_signals ? std::min(deadline, clock::now() + signal_check)
                                                 : deadline);
        }
        if (PyErr_CheckSignals() != 0) {
            return wait_end::interrupted;
        }
        if (reached) {
            return wait_end::reached;
        }
        if (clock::now() >= deadline) {
            return wait_end::timed_out;
        }
    }
}

}  // namespace handoff::detail
