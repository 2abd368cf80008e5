// The attendant: a native thread that waits for std::futures, and does what must not be done where
// it comes up.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace handoff::detail {

/// A std::future, which tells nobody when it is ready.
class watched_future {
public:
    watched_future() = default;
    virtual ~watched_future() = default;
    watched_future(watched_future const&) = delete;
    watched_future& operator=(watched_future const&) = delete;

    /// Whether it is ready, or became so within that time.
    [[nodiscard]] virtual bool is_ready_within(std::chrono::microseconds time) = 0;

    /// Passes on what is in it. REQUIRES: it is ready.
    virtual void settle() noexcept = 0;
};

/// Settles it when it is ready. One thread waits for all: for one of them at a time, a millisecond
/// at most, and then it looks at each. So the last future that was added is settled at once, and
/// the others within a millisecond. While there are any, it wakes 1,000 times a second.
///
/// GIL:     any, unchanged; the thread never touches it.
/// Threads: any. The thread is started by who first needs it, and lasts as long as the process.
/// Throws:  std::system_error: there is no thread left; std::bad_alloc.
void watch(std::unique_ptr<watched_future> added);

/// Calls it there; in this thread, where there is no thread left, or no memory.
/// GIL: any, unchanged; not held as it is called there.
void run_elsewhere(std::function<void()> const& errand) noexcept;

}  // namespace handoff::detail
