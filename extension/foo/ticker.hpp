// ticker: the task behind a Foo. Appends the next integer, calls back, wakes who waits for it.
#pragma once

#include "scheduler.hpp"
#include <handoff/gil.hpp>

#include <boost/python/list.hpp>
#include <boost/python/object.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace handoff {

/// Appends n = len(messages), then calls on_message(n), once every interval.
///
/// Concurrency
///   What Python sees (list, callback, error) and how much was delivered: guarded by the GIL.
///   The schedule (begin_, ticks_, due_): by the scheduler, which calls one member at a time.
///   The waiters: by their own mutex, as a run may end on a thread without the GIL. It is never
///   held while the GIL or the scheduler's mutex is acquired.
class ticker final : public scheduler::task {
public:
    using seconds = std::chrono::duration<double>;

    /// GIL: held. REQUIRES: interval > 0; on_message is callable or None.
    ticker(seconds interval, boost::python::object on_message);
    /// GIL: any; unchanged.
    ~ticker() override;
    ticker(ticker const&) = delete;
    ticker& operator=(ticker const&) = delete;

    [[nodiscard]] seconds interval() const noexcept { return interval_; }

    /// GIL: held, for the reference that is returned and for as long as it is used.
    [[nodiscard]] boost::python::list& messages() const noexcept { return python_.get().messages; }
    [[nodiscard]] boost::python::object error() const;

    /// Waits until `count` messages have been delivered, the last one's on_message included.
    /// Returns: whether they were; false at the timeout, or when the run ended before.
    /// GIL:     held on entry and on return, released while it waits.
    /// Throws:  boost::python::error_already_set: KeyboardInterrupt, or what a signal's handler
    ///          raised; RuntimeError from within its own on_message; MemoryError.
    bool wait(Py_ssize_t count, std::optional<std::chrono::microseconds> timeout);

    /// "on_message(3) of Foo(interval=1.0, on_message=<function f at 0x...>)", for a delivery that
    /// is in progress. GIL: held.
    [[nodiscard]] boost::python::object delivery_in_progress() const;

    /// What Python's garbage collector asks for: the references, and to drop them. GIL: held.
    int traverse(visitproc visit, void* argument) const;
    void clear();

    /// Whether messages have fallen due after the one in progress. GIL: held.
    [[nodiscard]] bool behind() const noexcept;

    void begun(scheduler::time_point due) noexcept override;
    std::optional<scheduler::time_point> deliver(scheduler::turn& now) noexcept override;
    void ended() noexcept override;
    void left_behind() noexcept override;
    [[nodiscard]] scheduler::clock::duration leeway() const noexcept override;
    [[nodiscard]] bool may_block() const noexcept override { return has_callback_; }

private:
    struct references {
        boost::python::list messages;
        boost::python::object on_message;
        boost::python::object error;
    };
    class waiter;

    [[nodiscard]] scheduler::time_point due_of(std::uint64_t tick) const noexcept;
    std::optional<scheduler::time_point> deliver_due(scheduler::turn& now);
    bool deliver_next();
    void report_error();
    void wake_waiters() noexcept;
    void find_next_to_wake() noexcept;

    gil_owned<references> python_;
    seconds interval_;
    bool has_callback_;
    Py_ssize_t delivered_ = 0;
    Py_ssize_t in_progress_ = 0;  // the message that on_message was last called with

    scheduler::time_point begin_{};
    scheduler::time_point due_{};
    std::uint64_t ticks_ = 0;
    std::atomic<bool> fresh_ = false;  // the run has delivered nothing: `error` is the last one's

    mutex waiting_;
    std::vector<waiter*> waiters_;
    std::atomic<Py_ssize_t> next_to_wake_ = PY_SSIZE_T_MAX;  // the least count that is waited for
    bool active_ = false;  // a run has begun and not ended
    unsigned forks_ = 0;  // in whose children we are
};

}  // namespace handoff
