// lock_beside_gil(): waits for mutexes without the GIL.
#pragma once

#include <handoff/gil/detail/release_with_lock.hpp>
#include <handoff/gil/held.hpp>
#include <handoff/gil/mutex.hpp>

#include <mutex>
#include <type_traits>

namespace handoff::detail {

template <class Mutex>
constexpr void refuse_mutex_of_moments() {
    static_assert(!std::is_same_v<Mutex, mutex>,
                  "a handoff::mutex must not be held while its thread waits for the GIL: lock it "
                  "by std::scoped_lock, for moments in which no Python code runs, or take another "
                  "mutex, as std::mutex");
}

/// Locks all of them, as std::lock() does. Does not hold the GIL while it waits for one of them.
/// GIL: any on entry; the same on return. While it waits for the GIL, it may hold mutexes, but no
///      holder of the GIL waits for these. If Python is ending, and the GIL may never come, it
///      holds none.
template <class... Lockable>
void lock_beside_gil(Lockable&... wanted) {
    (..., refuse_mutex_of_moments<Lockable>());
    auto const lock = [&] {
        if constexpr (sizeof...(wanted) == 1) {
            (..., wanted.lock());
        } else if constexpr (sizeof...(wanted) > 1) {
            std::lock(wanted...);
        }
    };
    auto const try_lock = [&] {
        if constexpr (sizeof...(wanted) > 1) {
            return std::try_lock(wanted...) == -1;
        } else {
            return (... && wanted.try_lock());
        }
    };
    if (!gil_held()) {
        lock();
        return;
    }
    while (!try_lock()) {
        way_back to_the_gil;
        release_with_lock while_waiting;
        lock();
        if (to_the_gil.is_open()) {
            return;
        }
        (..., wanted.unlock());
    }
}

/// A std::unique_lock or std::shared_lock whose lock() is lock_beside_gil().
template <class Lock>
class lock_of_gil : private Lock {
public:
    using typename Lock::mutex_type;

    lock_of_gil() noexcept { refuse_mutex_of_moments<mutex_type>(); }
    [[nodiscard]] explicit lock_of_gil(mutex_type& its) : Lock(its, std::defer_lock) { lock(); }
    template <class Tag>  // std::defer_lock, std::try_to_lock, std::adopt_lock
        requires std::is_empty_v<Tag>
    [[nodiscard]] lock_of_gil(mutex_type& its, Tag how) : Lock(its, how) {}

    /// Throws: std::system_error, as std::unique_lock: no mutex, or already locked.
    void lock() {
        refuse_mutex_of_moments<mutex_type>();
        if (Lock::mutex() == nullptr || Lock::owns_lock()) {
            Lock::lock();  // which throws
        }
        lock_beside_gil(plain());
    }
    using Lock::mutex;
    using Lock::owns_lock;
    using Lock::release;
    using Lock::try_lock;
    using Lock::unlock;
    using Lock::operator bool;

    /// The lock as std::condition_variable needs it; its own lock() is the standard's.
    [[nodiscard]] Lock& plain() noexcept { return *this; }
};

}  // namespace handoff::detail
