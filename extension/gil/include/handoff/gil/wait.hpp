// gil_wait(), gil_wait_for(): wait without the GIL for another thread, until Ctrl-C.
#pragma once

#include <handoff/gil/detail/waits.hpp>
#include <handoff/gil/lock.hpp>

#include <chrono>
#include <concepts>
#include <optional>
#include <utility>

namespace handoff {

/// Waits until it is ready; in Python's main thread, at most until a signal handler raises.
///
///     what is waited for                    is ready when
///     std::future, std::shared_future       it is ready, or deferred: get() runs the function then
///     std::counting_semaphore and its like  it is acquired
///     std::latch                            it is zero; polled each millisecond, as a latch has no
///                                           wait with a timeout
///     anything that is called with a time   it returns true; it waits until that time at most
///     (std::chrono::steady_clock's)
///
///     std::future<image> taken = camera.take();       // fulfilled by some other thread
///     handoff::gil_wait(taken);
///     show(taken.get());
///
/// GIL:     any on entry, released while it waits; the same on return. If it was not held,
///          signals do not end the wait.
/// Threads: any. Only Python's main thread runs signal handlers, within 0.1 s of the signal. A
///          signal does not end the wait of any other thread.
/// Throws:  python_error with what the handler raised (KeyboardInterrupt for Ctrl-C). In that case
///          nothing was taken from what it waited for.
template <class Awaited>
void gil_wait(Awaited&& awaited) {
    detail::wait_or_throw(detail::deadline_after(std::nullopt), [&](detail::time_limit until) {
        return detail::wait_until(awaited, until);
    });
}

/// The same, with a timeout. Returns: whether it is ready.
template <class Awaited, class Rep, class Period>
[[nodiscard]] bool gil_wait_for(Awaited&& awaited, std::chrono::duration<Rep, Period> at_most) {
    return detail::wait_or_throw(detail::deadline_after(at_most), [&](detail::time_limit until) {
        return detail::wait_until(awaited, until);
    });
}

/// Waits on a condition variable until ready() is true. ready() is called with the mutex locked and
/// without the GIL (with it, if Python is ending).
///
///     std::mutex mutex_;
///     std::condition_variable changed_;
///     ...
///     handoff::gil_unique_lock held(mutex_);
///     handoff::gil_wait(changed_, held, [&] { return !queue_.empty(); });
///
/// Changed is a std::condition_variable or a std::condition_variable_any. `held` is a
/// gil_unique_lock, or a std::unique_lock if every thread locks the mutex without the GIL.
///
/// GIL, Threads: as above. Signal handlers run while the mutex is unlocked.
/// Throws:   as above, and what ready() throws; the mutex is locked again then, as it is on return.
///           std::system_error if it was not locked on entry.
/// REQUIRES: as gil_lock, which does not accept a handoff::mutex.
template <class Changed, class Lock, std::predicate Ready>
void gil_wait(Changed& changed, Lock& held, Ready ready) {
    detail::wait_locked(changed, detail::plain(held), detail::deadline_after(std::nullopt),
                        std::move(ready));
}

/// The same, with a timeout. Returns: whether it was ready() before the timeout.
template <class Changed, class Lock, class Rep, class Period, std::predicate Ready>
[[nodiscard]] bool gil_wait_for(Changed& changed, Lock& held,
                                std::chrono::duration<Rep, Period> at_most, Ready ready) {
    return detail::wait_locked(changed, detail::plain(held), detail::deadline_after(at_most),
                               std::move(ready));
}

}  // namespace handoff
