// one_at_a_time: what one thread of a process may do while no other does it.
#pragma once

#include <atomic>
#include <stdexcept>
#include <sys/types.h>
#include <unistd.h>

namespace handoff::detail {

/// Held for as long as this lives. It is not a lock, because no thread waits: one that waited with
/// the GIL would wait for a thread that may have released the GIL meanwhile.
///
/// Threads: any. In the child of a fork() the thread that did it does not exist: it can be done.
class one_at_a_time {
public:
    /// The process in which it is being done; 0: none.
    using process = std::atomic<pid_t>;

    /// Throws: std::runtime_error with the refusal: another thread does it just now.
    one_at_a_time(process& doing, char const* refusal) : doing_(doing) {
        pid_t const own = getpid();
        pid_t found = 0;
        while (!doing_.compare_exchange_weak(found, own)) {
            if (found == own) {
                throw std::runtime_error(refusal);
            }
        }
    }
    ~one_at_a_time() { doing_ = 0; }
    one_at_a_time(one_at_a_time const&) = delete;
    one_at_a_time& operator=(one_at_a_time const&) = delete;

private:
    process& doing_;
};

}  // namespace handoff::detail
