// ticker: the task behind a Foo. Appends the next integer, calls back, wakes who waits for it.
#pragma once

#include "scheduler.hpp"
#include <handoff/gil/python.hpp>

#include <boost/python/list.hpp>
#include <boost/python/object.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <forward_list>
#include <optional>

namespace handoff {

/// Appends n = len(messages), then calls on_message(n), once every interval.
///
/// Concurrency
///   What Python sees (list, callback, error) and how much was delivered: guarded by the GIL.
///   The schedule (ticks_): by the scheduler, which calls one member at a time.
///   The waiters: by a mutex that all tickers share, as a run may end on a thread without the GIL.
///   It is never held while the GIL or the scheduler's mutex is acquired.
class ticker final : public scheduler::task {
public:
    using seconds = std::chrono::duration<double>;

    /// GIL:      held.
    /// Throws:   boost::python::error_already_set: MemoryError.
    /// REQUIRES: interval > 0; on_message is callable or None.
    ticker(seconds interval, boost::python::object const& on_message);
    /// GIL: any; unchanged.
    ~ticker() override;
    ticker(ticker const&) = delete;
    ticker& operator=(ticker const&) = delete;

    [[nodiscard]] seconds interval() const noexcept { return interval_; }

    /// GIL: held.
    [[nodiscard]] boost::python::list messages() const;
    [[nodiscard]] boost::python::object error() const;

    /// Waits until `count` messages have been delivered, the last one's on_message included.
    /// Returns: whether they were; false at the timeout, or when the run ended before.
    /// GIL:     held on entry and on return, released while it waits.
    /// Throws:  boost::python::error_already_set: KeyboardInterrupt, or what a signal's handler
    ///          raised; RuntimeError from within its own on_message; MemoryError.
    bool wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout);

    /// "on_message(3) of Foo(interval=1.0, on_message=<function f at 0x...>)", for a delivery that
    /// is in progress. GIL: held.
    [[nodiscard]] boost::python::object delivery_in_progress() const;

    /// What Python's garbage collector asks for: the references, and to drop them. GIL: held.
    int traverse(visitproc visit, void* argument) const;
    void clear();

    /// Whether messages have fallen due after the one in progress. GIL: held.
    [[nodiscard]] bool behind() const noexcept;

    void begun() noexcept override;
    std::optional<scheduler::time_point> deliver(scheduler::turn& now) noexcept override;
    bool deliver_at_once(scheduler::turn& now) noexcept override;
    void ended() noexcept override;
    void left_behind() noexcept override;
    [[nodiscard]] scheduler::clock::duration leeway() const noexcept override;
    [[nodiscard]] bool may_block() const noexcept override { return has_callback_; }

private:
    class waiter;

    [[nodiscard]] scheduler::time_point due_of(std::uint64_t tick) const noexcept;
    [[nodiscard]] unsigned due_together(scheduler::turn const& now) const noexcept;
    std::optional<scheduler::time_point> deliver_due(scheduler::turn& now);
    bool deliver_next();
    bool append_and_count(unsigned count) noexcept;
    void report_error();
    void wake_waiters() noexcept;
    void find_next_to_wake() noexcept;

    // In the order that wastes no room: there may be a million.
    bool const has_callback_;
    bool active_ = false;  // a run has begun and not ended; guarded as the waiters are
    std::atomic<bool> fresh_ = false;  // the run has delivered nothing: error_ is the last one's
    seconds interval_;
    std::uint64_t ticks_ = 0;  // of the run
    Py_ssize_t delivered_ = 0;  // also the message that on_message is called with
    PyObject* messages_;  // owned, as the next two; dropped only where Python can be touched
    PyObject* on_message_;
    PyObject* error_ = nullptr;  // null: none
    std::forward_list<waiter*> waiters_;
    std::atomic<Py_ssize_t> next_to_wake_ = PY_SSIZE_T_MAX;  // the least count that is waited for
};

}  // namespace handoff
