// gil_lock, gil_unique_lock, gil_shared_lock: no thread waits for a mutex while it holds the GIL.
#pragma once

#include <handoff/gil/detail/lock_beside_gil.hpp>
#include <handoff/gil/detail/locked_once.hpp>
#include <handoff/gil/detail/one_thread.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/held.hpp>

#include <mutex>
#include <optional>
#include <shared_mutex>
#include <tuple>

namespace handoff {

/// Like std::scoped_lock, for a mutex that is also locked by threads that hold the GIL, and by
/// threads that take the GIL while they have it. A thread that waits for the mutex does not hold
/// the GIL.
///
///     std::mutex mutex;                               // any that has lock, try_lock and unlock
///     void log(std::string const& line) {             // with the GIL or without it
///         handoff::gil_lock held(mutex);
///         sink(line);                                 // takes the GIL, and runs Python
///     }
///
///     the GIL is        the mutexes are free     another thread has one
///     held              locks; still held        releases it, waits, locks, takes it again
///     not held          locks                    waits, locks
///
/// A thread that comes with the GIL is inside the gate for as long as it has the lock. Otherwise
/// Python's end would let it hang in its next Python code, with the mutex locked.
///
/// GIL:      any on entry; the same on return, and in the destructor. While it waits, other threads
///           may run Python code; it runs none itself.
/// Threads:  any; destroyed by the thread that made it, in reverse order of construction.
/// Throws:   what the mutex throws.
/// REQUIRES: every thread that may hold the GIL locks the mutex in this way. A thread that has a
///           std::mutex does not lock it again, also not in a Python function that it calls: that
///           needs a std::recursive_mutex.
/// Source:   PyO3's MutexExt::lock_py_attached releases the GIL in the same way.
template <class... Mutex>
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_lock {
public:
    [[nodiscard]] explicit gil_lock(Mutex&... wanted) : once_(wanted...), locked_(wanted...) {
        if (gil_held()) {
            in_.emplace();
        }
        detail::lock_beside_gil(wanted...);
    }
    ~gil_lock() {
        made_.assert_still_here("gil_lock");
        std::apply([](auto&... each) { (..., each.unlock()); }, locked_);
    }

    gil_lock(gil_lock const&) = delete;
    gil_lock& operator=(gil_lock const&) = delete;

private:
    std::optional<detail::passage> in_;  // outlives the locks
    [[no_unique_address]] detail::made_here made_;
    [[no_unique_address]] detail::locked_once<sizeof...(Mutex)> once_;
    std::tuple<Mutex&...> locked_;
};

/// Like std::unique_lock, and locked in the same way as gil_lock. For a lock that is unlocked in
/// between, moved, or waited with by gil_wait(). Its thread is not inside the gate while it is
/// locked. It has no timeouts.
template <class Mutex>
class [[nodiscard]] gil_unique_lock : public detail::lock_of_gil<std::unique_lock<Mutex>> {
public:
    using detail::lock_of_gil<std::unique_lock<Mutex>>::lock_of_gil;
};
template <class Mutex, class... Tag>
gil_unique_lock(Mutex&, Tag...) -> gil_unique_lock<Mutex>;

/// Like std::shared_lock, and locked in the same way as gil_lock.
template <class Mutex>
class [[nodiscard]] gil_shared_lock : public detail::lock_of_gil<std::shared_lock<Mutex>> {
public:
    using detail::lock_of_gil<std::shared_lock<Mutex>>::lock_of_gil;
};
template <class Mutex, class... Tag>
gil_shared_lock(Mutex&, Tag...) -> gil_shared_lock<Mutex>;

}  // namespace handoff
