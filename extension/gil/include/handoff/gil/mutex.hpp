// mutex: must not be held while its thread waits for the GIL; a debug build checks that.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace handoff {

namespace detail {

/// How many of Handoff's mutexes the calling thread holds. It has default visibility, so that a
/// host and the modules that it loads count together. It is counted in every build, so that debug
/// and release builds do so, too.
[[gnu::visibility("default")]] inline constinit thread_local unsigned mutexes_held = 0;

/// How a thread waits for a mutex that another has; null: it just waits. Where Python has no GIL it
/// is lock_detached() in free_threading.hpp. Visible, as the above.
[[gnu::visibility(
    "default")]] inline constinit std::atomic<void (*)(std::mutex&)> how_to_wait_for_a_mutex =
    nullptr;

}  // namespace detail

/// A std::mutex for data that is also used under the GIL. A thread that waits for the GIL while it
/// holds such a mutex deadlocks with a thread that holds the GIL and waits for the mutex. So a
/// debug build aborts when a thread waits for the GIL with a handoff::mutex held, even if no other
/// thread wants the mutex at that moment.
///
///     handoff::mutex mutex_;
///     ...
///     auto const value = [&] { std::scoped_lock held(mutex_); return value_; }();
///     handoff::gil_acquire gil;
///     callback_(value);
///
/// Does not need Python.h; costs as much as std::mutex.
///
/// On a free-threaded build a thread that has to wait for it, and is attached, detaches meanwhile:
/// it would keep the world from being stopped.
///
/// GIL:     any; the same on return.
/// Threads: any; unlocked by the thread that locked it.
class mutex {
public:
    void lock() {
        if (auto* const wait = detail::how_to_wait_for_a_mutex.load(std::memory_order_relaxed)) {
            wait(native_);
        } else {
            native_.lock();
        }
        ++detail::mutexes_held;
    }

    [[nodiscard]] bool try_lock() {
        bool const locked = native_.try_lock();
        detail::mutexes_held += locked ? 1 : 0;
        return locked;
    }

    void unlock() {
        --detail::mutexes_held;
        native_.unlock();
    }

private:
    friend class condition_variable;

    std::mutex native_;
};

/// A std::condition_variable for it. A thread that waits here cannot wait for the GIL, and holds
/// the mutex again when the wait returns.
class condition_variable {
public:
    void notify_one() noexcept { native_.notify_one(); }
    void notify_all() noexcept { native_.notify_all(); }

    void wait(std::unique_lock<mutex>& held) {
        native_lock by_its_own_kind(held);
        native_.wait(by_its_own_kind.lock);
    }

    template <class Predicate>
    void wait(std::unique_lock<mutex>& held, Predicate ready) {
        while (!ready()) {
            wait(held);
        }
    }

    template <class Clock, class Duration>
    std::cv_status wait_until(std::unique_lock<mutex>& held,
                              std::chrono::time_point<Clock, Duration> const& deadline) {
        native_lock by_its_own_kind(held);
        return native_.wait_until(by_its_own_kind.lock, deadline);
    }

    template <class Clock, class Duration, class Predicate>
    bool wait_until(std::unique_lock<mutex>& held,
                    std::chrono::time_point<Clock, Duration> const& deadline, Predicate ready) {
        while (!ready()) {
            if (wait_until(held, deadline) == std::cv_status::timeout) {
                return ready();
            }
        }
        return true;
    }

    template <class Rep, class Period, class Predicate>
    bool wait_for(std::unique_lock<mutex>& held, std::chrono::duration<Rep, Period> const& at_most,
                  Predicate ready) {
        return wait_until(held, std::chrono::steady_clock::now() + at_most, std::move(ready));
    }

private:
    /// The same lock, as std::condition_variable needs it, for one wait.
    struct native_lock {
        explicit native_lock(std::unique_lock<mutex> const& held)
            : lock(held.mutex()->native_, std::adopt_lock) {}
        ~native_lock() { lock.release(); }
        native_lock(native_lock const&) = delete;
        native_lock& operator=(native_lock const&) = delete;

        std::unique_lock<std::mutex> lock;
    };

    std::condition_variable native_;
};

}  // namespace handoff
