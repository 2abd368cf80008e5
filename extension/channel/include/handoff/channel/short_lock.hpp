// short_lock: a lock for a few instructions; locking and unlocking cost one atomic exchange.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <atomic>

namespace handoff::detail {

/// Held for no longer than it takes to move a few values. While a thread holds it, it does not
/// wait, allocate, or call unknown code. It costs half as much as an uncontended std::mutex,
/// because unlocking is a plain store. So it cannot wake a thread; a thread that finds it locked
/// tries again a little later.
///
/// unlock() releases and try_lock() acquires: a thread that has the lock sees what was done under
/// it.
///
/// GIL:     any; unchanged. Threads: any.
class short_lock {
public:
    void lock() noexcept {
        if (!try_lock()) [[unlikely]] {
            come_again();
        }
    }
    [[nodiscard]] bool try_lock() noexcept {
        return !locked_.exchange(true, std::memory_order_acquire);
    }
    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

private:
    void come_again() noexcept;

    std::atomic<bool> locked_ = false;
};

extern std::atomic<unsigned> counted_forks;

/// How many fork()s lie between this process and the first: a thread that does not exist here may
/// hold a lock from before.
[[nodiscard]] inline unsigned forks() noexcept {
    return counted_forks.load(std::memory_order_relaxed);  // it changes where there is one thread
}

}  // namespace handoff::detail
