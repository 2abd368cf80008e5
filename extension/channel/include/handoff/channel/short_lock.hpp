// short_lock: a lock for a few instructions; to take and leave it costs one exchange.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <atomic>

namespace handoff::detail {

/// Held for no longer than it takes to move a few values: under it nobody waits, allocates, or
/// calls what he does not know. Half the cost of a std::mutex where nobody contends, as unlocking
/// is a plain store; so nobody can be woken by it, and who finds it locked comes again a little
/// later.
///
/// unlock() releases and try_lock() acquires: whoever has the lock sees what was done under it.
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

/// How many fork()s lie between this process and the first: a lock of before may be held by a
/// thread that is not here.
[[nodiscard]] inline unsigned forks() noexcept {
    return counted_forks.load(std::memory_order_relaxed);  // it changes where there is one thread
}

}  // namespace handoff::detail
