// blocking_wait: one wait() in progress, on the stack of the thread that waits.
#pragma once

#include "waits.hpp"

#include <chrono>
#include <memory>

namespace handoff {

/// Its lock is one of Python's own, so that a signal interrupts it.
class blocking_wait final : public waits::waiter {
public:
    /// GIL: held. Throws: boost::python::error_already_set: MemoryError; std::bad_alloc.
    blocking_wait(waits& among, Py_ssize_t count);
    ~blocking_wait() override;
    blocking_wait(blocking_wait const&) = delete;
    blocking_wait& operator=(blocking_wait const&) = delete;

    /// Whether there is a run to wait for.
    [[nodiscard]] bool enrolled() const noexcept { return enrolled_; }

    /// Whether it was woken, or nothing will wake it; returns early when a signal arrives.
    /// GIL: not held.
    [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point deadline) const noexcept;

    /// Whether the count was reached before the wait ended.
    [[nodiscard]] bool reached() noexcept;

protected:
    void wake(bool reached) noexcept override;

private:
    bool reached_ = false;
    std::unique_ptr<void, decltype(&PyThread_free_lock)> woken_;
    bool enrolled_;
};

}  // namespace handoff
