// doorbell: where a thread sleeps, or a listener is enrolled, until another thread rings.
#pragma once

#include <handoff/channel/listener.hpp>
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
/// Who must not sleep enrols a listener, before it locks and looks: then it is told by the ring.
///
/// GIL:     not held where it waits. Threads: any.
class doorbell {
public:
    using clock = std::chrono::steady_clock;

    /// From now on heard() says so, when there is as much. Returns: what wait() takes.
    /// REQUIRES: the caller's lock. It orders this read before the ring that answers it; an older
    /// count only ends the wait early. So the read itself needs no order.
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

    /// Wakes all who sleep, and tells all who are enrolled, the first first; they are not any more.
    void ring() noexcept;

    void enrol(channel_listener& added) noexcept;
    /// Tells one, unless a ring has, or it was withdrawn.
    void tell(channel_listener& enrolled) noexcept;
    /// It is not told afterwards.
    void withdraw(channel_listener& enrolled) noexcept;

    void wait(unsigned seen) noexcept;
    /// Returns: false when it was too late.
    bool wait_until(unsigned seen, clock::time_point deadline) noexcept;

private:
    /// REQUIRES: the mutex. Returns: whether it was enrolled.
    bool remove(channel_listener& enrolled) noexcept;

    static constexpr std::size_t nobody = std::numeric_limits<std::size_t>::max();

    std::size_t enough_ = nobody;  // guarded by the caller's lock
    std::atomic<unsigned> rings_ = 0;  // changed under the mutex
    mutex mutex_;
    condition_variable rung_;
    boost::intrusive::list<channel_listener, boost::intrusive::constant_time_size<false>>
        listeners_;  // guarded by the mutex
};

}  // namespace handoff::detail
