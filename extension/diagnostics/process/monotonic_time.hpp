// monotonic_time: moments of std::chrono::steady_clock for the system's calls that wait.
#pragma once

#include <cerrno>
#include <chrono>
#include <ctime>
#include <semaphore.h>

namespace handoff::detail {

/// As CLOCK_MONOTONIC counts it, which is the clock of libstdc++'s steady_clock.
inline timespec monotonic_timespec(std::chrono::steady_clock::time_point moment) noexcept {
    auto const since = moment.time_since_epoch();
    auto const seconds = std::chrono::floor<std::chrono::seconds>(since);
    return {.tv_sec = seconds.count(),
            .tv_nsec = std::chrono::nanoseconds(since - seconds).count()};
}

/// Returns: whether it was posted in time.
inline bool wait_until(sem_t& posted, std::chrono::steady_clock::time_point at_latest) noexcept {
    timespec const deadline = monotonic_timespec(at_latest);
    int result = 0;
    do {
        result = sem_clockwait(&posted, CLOCK_MONOTONIC, &deadline);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

}  // namespace handoff::detail
