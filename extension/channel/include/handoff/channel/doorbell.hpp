// doorbell: a thread sleeps on it, or a listener is enrolled, until another thread rings.
#pragma once

#include <handoff/channel/listener.hpp>
#include <handoff/gil/mutex.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>

namespace handoff::detail {

/// For a thread that found too little under a lock under which it must not sleep.
///
///     sleeper: lock; too little there; seen = listen(enough); unlock; wait(seen); look again
///     waker:   lock; add; if (heard(what is there now)) { unlock; ring(); }
///
/// So a ring costs nothing if no thread sleeps, and a sleep costs one ring, however much was added
/// meanwhile. A ring that came before the sleep is not missed, because the count has changed.
///
/// A consumer that must not sleep enrols a listener before it locks and looks. The ring then
/// notifies the listener.
///
/// GIL:     not held where it waits. Threads: any.
class doorbell {
public:
    using clock = std::chrono::steady_clock;

    /// From now on heard() returns true when there are that many. Returns: the argument for wait().
    /// REQUIRES: the caller's lock. It orders this read before the ring that answers it; an older
    /// count only ends the wait early. So the read itself needs no order.
    [[nodiscard]] unsigned listen(std::size_t enough) noexcept {
        enough_ = std::min(enough_, enough);
        return rings_.load(std::memory_order_relaxed);
    }

    /// Whether a thread listens for that many, so that the caller must ring.
    /// REQUIRES: the caller's lock.
    [[nodiscard]] bool heard(std::size_t there) noexcept {
        if (there < enough_) [[likely]] {
            return false;
        }
        enough_ = nobody;
        return true;
    }

    /// Wakes all sleepers, and notifies all listeners in the order of enrolment; these are removed.
    void ring() noexcept;

    void enrol(channel_listener& added) noexcept;
    /// Notifies one, unless a ring has done so, or it was withdrawn.
    void tell(channel_listener& enrolled) noexcept;
    /// It is not notified afterwards.
    void withdraw(channel_listener& enrolled) noexcept;

    void wait(unsigned seen) noexcept;
    /// Returns: false if the deadline passed.
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
