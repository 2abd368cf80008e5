// What gil_wait() knows of each kind of thing that is waited for.
#pragma once

#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gil/detail/lock_beside_gil.hpp>
#include <handoff/gil/detail/release_with_lock.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/python_error.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <future>
#include <latch>
#include <system_error>
#include <thread>

namespace handoff::detail {

using time_limit = std::chrono::steady_clock::time_point;

/// Each of these waits until a time at most. Returns: whether it is there.
template <std::predicate<time_limit> WaitUntil>
bool wait_until(WaitUntil& wait, time_limit until) {
    return wait(until);
}
template <class Future>  // std::future, std::shared_future; a deferred one is there at once
    requires requires(Future& its) { its.wait_until(time_limit()) == std::future_status::ready; }
bool wait_until(Future& its, time_limit until) {
    return its.wait_until(until) != std::future_status::timeout;
}
template <class Semaphore>
    requires requires(Semaphore& its) { its.try_acquire_until(time_limit()); }
bool wait_until(Semaphore& its, time_limit until) {
    return its.try_acquire_until(until);
}
inline bool wait_until(std::latch const& its, time_limit until) {
    static constexpr std::chrono::nanoseconds longest = std::chrono::milliseconds(1);
    for (std::chrono::nanoseconds pause = longest / 64; !its.try_wait();
         pause = std::min(2 * pause, longest)) {
        auto const left = until - std::chrono::steady_clock::now();
        if (left <= std::chrono::nanoseconds::zero()) {
            return false;
        }
        std::this_thread::sleep_for(std::min(pause, left));
    }
    return true;
}

/// As the standard's condition variables know it.
template <class Lock>
auto& plain(Lock& held) noexcept {
    if constexpr (requires { held.plain(); }) {
        return held.plain();
    } else {
        return held;
    }
}

/// Throws: what the handler of a signal raised. Returns: whether it was reached in time.
template <class Release = gil_release, class WaitUntil>
bool wait_or_throw(time_limit until, WaitUntil const& wait) {
    auto const end = interruptible_wait<Release>(until, wait);
    if (end == wait_end::interrupted) {
        throw python_error::fetch();
    }
    return end == wait_end::reached;
}

template <class Changed, class Lock, class Ready>
bool wait_locked(Changed& changed, Lock& held, time_limit until, Ready ready) {
    refuse_mutex_of_moments<typename Lock::mutex_type>();
    if (!held.owns_lock()) {
        throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                                "gil_wait(): the lock does not hold its mutex: lock() it before");
    }
    if (!gil_held()) {
        return changed.wait_until(held, until, ready);
    }
    // Neither a signal's handler nor a thread that may never get the GIL has the mutex locked.
    way_back to_the_gil;
    auto const locked_wait = [&](time_limit at_most) {
        if (!held.owns_lock()) {
            held.lock();
        }
        bool const is_ready = changed.wait_until(held, at_most, ready);
        if (!is_ready || !to_the_gil.is_open()) {
            held.unlock();
        }
        return is_ready;
    };
    auto const lock_again = [&] {
        if (!held.owns_lock()) {
            lock_beside_gil(held);
        }
    };
    try {
        while (wait_or_throw<release_with_lock>(until, locked_wait)) {
            if (held.owns_lock() || (lock_again(), ready())) {
                return true;
            }
        }
    } catch (python_error const&) {
        lock_again();
        throw;
    }
    lock_again();
    return false;
}

}  // namespace handoff::detail
