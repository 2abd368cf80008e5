// The attendant: a native thread that waits for std::futures, and does work that must not be done
// where it arises.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace handoff::detail {

/// A std::future, which does not notify anyone when it is ready.
class watched_future {
public:
    watched_future() = default;
    virtual ~watched_future() = default;
    watched_future(watched_future const&) = delete;
    watched_future& operator=(watched_future const&) = delete;

    /// Whether it is ready, or became so within that time.
    [[nodiscard]] virtual bool is_ready_within(std::chrono::microseconds time) = 0;

    /// Passes its result on. REQUIRES: it is ready.
    virtual void settle() noexcept = 0;
};

/// Settles it when it is ready. One thread waits for all futures. It waits for one of them at a
/// time, a millisecond at most, and then checks each. So the future that was added last is settled
/// at once, and the others within a millisecond. While there are any, the thread wakes 1,000 times
/// a second.
///
/// GIL:     any, unchanged; the thread never touches it.
/// Threads: any. The thread is started when it is first needed, and lasts as long as the process.
/// Throws:  std::system_error: no thread can be started; std::bad_alloc.
void watch(std::unique_ptr<watched_future> added);

/// Calls it on that thread; on this thread if no thread can be started, or there is no memory.
/// GIL: any, unchanged; not held when it is called there.
void run_elsewhere(std::function<void()> const& errand) noexcept;

}  // namespace handoff::detail
