// doorbell: where a thread sleeps until another, which found it listening, rings.
#pragma once

#include <handoff/gil/mutex.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>

namespace handoff::detail {

/// The sleep of who found too little under a lock that nobody may sleep under.
///
///     sleeper: lock; too little there; seen = listen(enough); unlock; wait(seen); look again
///     waker:   lock; add; if (heard(what is there now)) { unlock; ring(); }
///
/// So nobody pays for a sleeper that is not there, and one sleep is one ring, however much was
/// added meanwhile. A ring that came before the sleep is not missed: the count has moved on.
///
/// GIL:     not held where it waits. Threads: any.
class doorbell {
public:
    using clock = std::chrono::steady_clock;

    /// From now on heard() says so, when there is as much. Returns: what wait() takes.
    /// REQUIRES: the caller's lock.
    [[nodiscard]] unsigned listen(std::size_t enough) noexcept {
        enough_ = std::min(enough_, enough);
        return rings_.load(std::memory_order_relaxed);
    }

    /// Whether somebody listens for that much, who must then be rung for.
    /// REQUIRES: the caller's lock.
    [[nodiscard]] bool heard(std::size_t there) noexcept {
        if (there < enough_) [[likely]] {
            return false;
        }
        enough_ = nobody;
        return true;
    }

    /// Wakes all.
    void ring() noexcept;

    void wait(unsigned seen) noexcept;
    /// Returns: false when it was too late.
    bool wait_until(unsigned seen, clock::time_point deadline) noexcept;

private:
    static constexpr std::size_t nobody = std::numeric_limits<std::size_t>::max();

    std::size_t enough_ = nobody;  // guarded by the caller's lock
    std::atomic<unsigned> rings_ = 0;  // changed under the mutex
    mutex mutex_;
    condition_variable rung_;
};

}  // namespace handoff::detail
